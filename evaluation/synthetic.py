"""`python -m evaluation.synthetic OUT`: a small COCO set of procedural scenes that training never sees.

It writes images, `instances.json` with things and their parts, and `boxes.json` as of a mediocre detector: the right
boxes moved a little, without some of them and with some that are wrong.
"""

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow

from evaluation.data.picture import Map
from model.masks.rle import area, bbox, encode
from training.scenes import SIDE, Scene, render_scene, scene_bank
from training.store import HELD_OUT_SEED

SCENES = 24
FIRST = HELD_OUT_SEED + 500_000  # beyond those that chose the defaults of sam_tiny
CATEGORIES = {"thing": 1, "part": 2}
LEAST = 200  # px of a region
MOVED = 0.04  # of a box's sides, one sigma of each corner
MISSED, WRONG = 0.1, 0.3  # shares of the boxes
Rows = list[dict[str, Any]]


def regions(scene: Scene) -> Iterator[tuple[str, Map]]:
    """Whole things, then parts of them that are not the whole."""
    thing = scene.table[:, 3] == 0
    for name, level in (("thing", 0), ("part", 1)):
        ids = np.where(thing, scene.table[:, level], 0)[scene.leaves]
        for k in np.unique(ids[ids > 0]):
            mask = np.asarray(ids == k, np.bool_)
            if mask.sum() >= LEAST:
                yield name, mask


def annotations(scene: Scene, image_id: int, first: int) -> Rows:
    rows: Rows = []
    for name, mask in regions(scene):
        rle = encode(mask)
        row = {"id": first + len(rows), "image_id": image_id, "category_id": CATEGORIES[name], "iscrowd": 0}
        rows.append(row | {"segmentation": rle, "area": area(rle), "bbox": bbox(rle)})
    return rows


def detections(rows: Rows, rng: np.random.Generator) -> Rows:
    """Boxes as results: right ones that moved, then wrong ones with lower scores."""
    found: Rows = []
    for row in rows:
        w, h = row["bbox"][2:]
        if rng.random() >= MISSED:
            moved = rng.normal(0, MOVED, 4) * (w, h, w, h)
            found.append(
                _result(row, np.array(row["bbox"]) + moved, 1 - float(np.abs(moved / (w, h, w, h)).mean()) * 4)
            )
        if rng.random() < WRONG:
            found.append(_result(row, np.array([*rng.uniform(0, SIDE - 60, 2), w, h]), rng.uniform(0.05, 0.7)))
    return found


def _result(row: dict[str, Any], box: np.ndarray, score: float) -> dict[str, Any]:
    x, y, w, h = (round(float(v), 2) for v in box)
    told = {"image_id": row["image_id"], "category_id": row["category_id"], "score": round(max(float(score), 0.01), 4)}
    return told | {"bbox": [x, y, max(w, 1.0), max(h, 1.0)]}


def write(out: Path, scenes: int, bank: NDArray[np.uint8]) -> None:
    """Images, annotations and boxes. The same on every machine, up to the arithmetic of rendering."""
    (out / "images").mkdir(parents=True, exist_ok=True)
    images, rows, boxes = Rows(), Rows(), Rows()
    for k in range(scenes):
        scene = render_scene(FIRST + k, bank)
        name = f"{k:03}.png"
        Pillow.fromarray(scene.image).save(out / "images" / name)
        images.append({"id": k + 1, "file_name": name, "width": SIDE, "height": SIDE})
        own = annotations(scene, k + 1, len(rows) + 1)
        rows += own
        boxes += detections(own, np.random.default_rng(k))
    categories = [{"id": number, "name": name} for name, number in CATEGORIES.items()]
    told = {"info": {}, "images": images, "annotations": rows, "categories": categories}
    (out / "instances.json").write_text(json.dumps(told))
    (out / "boxes.json").write_text(json.dumps(boxes))


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m evaluation.synthetic", description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--scenes", type=int, default=SCENES)
    asked = parser.parse_args()
    write(asked.out, asked.scenes, scene_bank())
    print(f"{asked.scenes} scenes in {asked.out}")


if __name__ == "__main__":
    main()
