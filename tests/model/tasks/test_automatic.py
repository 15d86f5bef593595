"""Automatic masks against tests/model/plain.py, with random weights whose masks are blobs of all sizes."""

from typing import Any

import numpy as np
import pytest

from model.masks.mask import Mask
from model.spec import Automatic
from tests.model import plain
from tests.model.photographs import NAMES, blobs, photograph
from tests.model.same_masks import assert_same

LOOSE: dict[str, Any] = {
    "points_per_side": 6,
    "points_per_batch": 7,  # leaves a last batch of 1
    "pred_iou_thresh": 0.05,
    "stability_score_thresh": 0.5,
    "stability_score_offset": 1.0,
    "box_nms_thresh": 0.7,
    "crop_n_layers": 0,
    "crop_nms_thresh": 0.7,
    "crop_overlap_ratio": 512 / 1500,
    "crop_n_points_downscale_factor": 1,
    "min_mask_region_area": 0,
}


def ours(image: np.ndarray, **changes: Any) -> list[Mask]:
    return blobs().run([image], [Automatic(**{"max_masks": 20000, **LOOSE, **changes})])[0]


def compare(image: np.ndarray, **changes: Any) -> int:
    """Assert equality with the plain restatement. Returns the number of masks."""
    expected = plain.automatic(blobs().sam, image, {**LOOSE, **changes})
    found = ours(image, **changes)
    assert_same(found, expected)
    return len(found)


@pytest.mark.parametrize("name", NAMES[::4])
def test_photographs(name: str) -> None:
    assert compare(photograph(name, 160)) > 0


@pytest.mark.parametrize("shape", [(1, 1), (1, 40), (300, 1), (17, 400), (400, 23), (256, 256), (31, 29), (255, 257)])
def test_odd_sizes(shape: tuple[int, int]) -> None:
    height, width = shape
    image = np.resize(photograph("coffee.png"), (height, width, 3))
    compare(image, pred_iou_thresh=0.0, stability_score_thresh=0.0, points_per_side=3)


@pytest.mark.parametrize("shape", [(1, 1), (1, 40), (40, 1), (2, 3)])
def test_no_mask_comes_twice_and_none_is_empty(shape: tuple[int, int]) -> None:
    """Suppression does not see duplicates that are one pixel wide or high, because their boxes have no area."""
    image = np.resize(photograph("coffee.png"), (*shape, 3))
    found = ours(image, pred_iou_thresh=0.0, stability_score_thresh=0.0, points_per_side=4, crop_n_layers=1)
    assert found and all(mask.area for mask in found)
    assert len({mask.rle["counts"] for mask in found}) == len(found)
    if shape == (1, 1):
        assert len(found) == 1
    of_grid = ours(image, pred_iou_thresh=0.0, stability_score_thresh=0.0, points_per_side=4, box_nms_thresh=1.0)
    best = max(mask.predicted_iou for mask in of_grid)
    assert of_grid[0].predicted_iou == best and len({mask.rle["counts"] for mask in of_grid}) == len(of_grid)


@pytest.mark.parametrize("layers", [1, 2])
def test_crops(layers: int) -> None:
    loose = {"pred_iou_thresh": 0.0, "stability_score_thresh": 0.4, "crop_nms_thresh": 0.9}
    image = photograph("coffee.png", 240)
    assert compare(image, crop_n_layers=layers, crop_n_points_downscale_factor=2, **loose) > 5
    crops = {tuple(m.crop_box) for m in ours(image, crop_n_layers=layers, **loose)}
    assert len(crops) > 3, "only part of the crops was prompted"


def test_crops_of_a_tiny_image() -> None:
    compare(photograph("coffee.png", 240)[:3, :5], crop_n_layers=2, points_per_side=4, pred_iou_thresh=0.0)


@pytest.mark.parametrize("area", [30, 4000])
def test_small_regions(area: int) -> None:
    image = photograph("chelsea.png", 260)
    assert compare(image, min_mask_region_area=area, stability_score_thresh=0.5) > 3
    assert compare(image, min_mask_region_area=area, crop_n_layers=1, stability_score_thresh=0.5) > 3


def test_thresholds_are_as_in_the_reference() -> None:
    """Predicted IoU passes above its threshold, stability at or above."""
    image = photograph("astronaut.png", 200)
    loose = ours(image, stability_score_thresh=0.0, box_nms_thresh=1.0)
    stability = sorted(m.stability_score for m in loose)[len(loose) // 2]
    at = ours(image, stability_score_thresh=stability, box_nms_thresh=1.0)
    assert min(m.stability_score for m in at) == stability
    iou = sorted(m.predicted_iou for m in loose)[len(loose) // 2]
    above = ours(image, stability_score_thresh=0.0, pred_iou_thresh=iou, box_nms_thresh=1.0)
    assert above and min(m.predicted_iou for m in above) > iou


def test_all_filtered_is_an_empty_list() -> None:
    image = photograph("astronaut.png", 200)
    assert ours(image, pred_iou_thresh=1.0) == []
    assert ours(image, pred_iou_thresh=1.0, crop_n_layers=1) == []
    assert ours(image, pred_iou_thresh=1.0, min_mask_region_area=50) == []
    assert ours(image, stability_score_thresh=1.0, stability_score_offset=100.0, crop_n_layers=1) == []


def test_a_grid_without_points() -> None:
    found = ours(photograph("astronaut.png", 200), points_per_side=2, crop_n_layers=2, crop_n_points_downscale_factor=2)
    assert {tuple(m.crop_box[2:]) for m in found} <= {(200, 200), (134, 134)}


def test_batch_size_changes_nothing() -> None:
    image = photograph("rocket.jpg", 250)
    one, all_at_once = ours(image, points_per_batch=5), ours(image, points_per_batch=1000)
    assert [m.rle for m in one] == [m.rle for m in all_at_once]


def test_point_grids() -> None:
    image = photograph("rocket.jpg", 250)
    steps = [(k + 0.5) / 6 for k in range(6)]
    grid = [[(x, y) for y in steps for x in steps]]
    assert ours(image, point_grids=grid) == ours(image)


def test_area_limits_and_max_masks() -> None:
    image = photograph("coffee.png", 300)
    every = ours(image)
    areas = sorted(m.area for m in every)
    least, most = areas[len(areas) // 4], areas[3 * len(areas) // 4]
    assert ours(image, min_mask_area=least, max_mask_area=most) == [m for m in every if least <= m.area <= most]
    assert ours(image, max_masks=3) == every[:3]


def test_twice_is_the_same() -> None:
    image = photograph("coffee.png", 300)
    assert ours(image) == ours(image)
