"""`exact` with the shipped weights against a plain restatement of the reference.

The straightforward generator that bench/ measures is compared too.
"""

from dataclasses import asdict
from functools import lru_cache
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from bench import straightforward
from model.backends.sam import Segmenter
from model.masks import rle
from model.spec import Automatic
from model.tasks.parameters import resolve
from tests.model import plain
from tests.model.photographs import NAMES, photograph
from tests.model.same_masks import assert_same, iou


@lru_cache
def shipped() -> Segmenter:
    return Segmenter.load("sam_tiny")


def compare(image: np.ndarray, task: Automatic) -> int:
    """Assert equality with the plain restatement. Returns the number of masks."""
    s = shipped()
    parameters: dict[str, Any] = asdict(resolve(task, s.sam.row))
    expected = plain.automatic(s.sam, image, parameters)[: parameters["max_masks"]]
    found = s.run([image], [task])[0]
    assert_same(found, expected)
    return len(found)


@pytest.mark.parametrize("name", NAMES[::4])
def test_photographs_with_defaults(name: str) -> None:
    assert compare(photograph(name, 180), Automatic()) > 0


def test_every_photograph_with_default_thresholds() -> None:
    """With a coarser grid, because the default takes two seconds a picture."""
    assert sum(compare(photograph(name, 180), Automatic(points_per_side=8)) for name in NAMES) > 50


@pytest.mark.parametrize("shape", [(30, 420), (420, 30), (1, 300), (300, 1), (1, 1)])
def test_odd_sizes(shape: tuple[int, int]) -> None:
    height, width = shape
    image = np.resize(photograph("coffee.png"), (height, width, 3))
    compare(image, Automatic(pred_iou_thresh=0.0, stability_score_thresh=0.0, points_per_side=4, max_masks=500))


@pytest.mark.parametrize("layers", [2])
def test_crops(layers: int) -> None:
    task = Automatic(crop_n_layers=layers, crop_n_points_downscale_factor=2, points_per_side=7, max_masks=500)
    assert compare(photograph("chelsea.png", 300), task) > 3


@pytest.mark.parametrize("area", [300, 5000])
def test_small_regions(area: int) -> None:
    task = Automatic(min_mask_region_area=area, stability_score_thresh=0.5, max_masks=500)
    assert compare(photograph("moon.png", 240), task) > 3


def test_twelve_megapixels() -> None:
    image = np.asarray(Image.fromarray(photograph("coffee.png")).resize((4000, 3000), Image.Resampling.BICUBIC))
    assert compare(image, Automatic(points_per_side=2, stability_score_thresh=0.5, min_mask_region_area=5000)) > 0


@pytest.mark.parametrize("name", ["coins.png"])
def test_the_straightforward_generator(name: str) -> None:
    s, image = shipped(), photograph(name, 256)
    task = Automatic(points_per_side=8, min_mask_region_area=0, max_masks=20_000)
    with torch.inference_mode():
        expected = straightforward.automatic(s.state_dict(), s.sam.row, image, resolve(task, s.sam.row))
    found = s.run([image], [task])[0]
    assert len(found) == len(expected) > 0
    for mask, (other, predicted) in zip(found, expected, strict=True):
        assert mask.predicted_iou == pytest.approx(predicted, abs=1e-4)
        assert iou(rle.decode(mask.rle), rle.decode(other)) >= 0.9999
