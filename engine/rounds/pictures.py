"""Pictures of a run: drawn, written as files below a folder, with the right masks as a COCO file."""

import json
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from PIL import Image as Pillow

from engine.rounds.cells import draw_cells
from evaluation.synthetic import regions
from model.masks.rle import encode
from training.clicks import Mask
from training.scenes import render_scene, scene_bank
from training.store import HELD_OUT_SEED
from training.textures import Image

LEAST: Final = 600  # px of an object
MOST: Final = 10  # objects of a picture
_FIRST: Final = HELD_OUT_SEED + 700_000  # beyond the scenes of training and of evaluation
Draw = Callable[[int], tuple[Image, list[Mask]]]


def draw_scene(seed: int) -> tuple[Image, list[Mask]]:
    """A scene as training draws them, of a seed that it never uses, and its largest things."""
    scene = render_scene(_FIRST + seed, _bank())
    things = sorted((mask for kind, mask in regions(scene) if kind == "thing"), key=lambda mask: -int(mask.sum()))
    return scene.image, things[:MOST]


@cache
def _bank() -> Image:
    return scene_bank()


FAMILIES: Final[Mapping[str, Draw]] = MappingProxyType({"cells": draw_cells, "scenes": draw_scene})


def write_pictures(draw: Draw, seeds: range, images: Path, truth: Path) -> None:
    """The same seeds give the same files. What is there already is kept."""
    if truth.exists():
        return
    images.mkdir(parents=True, exist_ok=True)
    rows: list[dict[str, Any]] = []
    drawn = [draw(seed) for seed in seeds]
    for number, (image, masks) in enumerate(drawn):
        Pillow.fromarray(image).save(images / f"{number:03}.png")
        whole = [mask for mask in masks if mask.sum() >= LEAST]
        rows += [{"image_id": number, "category_id": 1, "iscrowd": 0, "segmentation": encode(mask)} for mask in whole]
    known = [
        {"id": number, "file_name": f"{number:03}.png", "height": image.shape[0], "width": image.shape[1]}
        for number, (image, _) in enumerate(drawn)
    ]
    numbered = [{"id": k, **row} for k, row in enumerate(rows, 1)]
    truth.parent.mkdir(parents=True, exist_ok=True)
    part = truth.with_suffix(".part")
    part.write_text(json.dumps({"images": known, "annotations": numbered, "categories": [{"id": 1, "name": "object"}]}))
    part.rename(truth)
