"""Compare the masks of two generators: count, order up to ties, pixels and measures."""

from collections.abc import Sequence

import numpy as np
import pytest

from model.masks import rle
from model.masks.mask import Mask
from tests.model import plain

TIE = 1e-5  # predicted IoU that differs by rounding


def assert_same(found: Sequence[Mask], expected: Sequence[plain.Plain]) -> None:
    """Compare each mask with the plain generator's at its place, or at the place of one with the same predicted IoU."""
    assert len(found) == len(expected)
    left = list(expected)
    for mask in found:
        pixels = rle.decode(mask.rle)
        near = [i for i, other in enumerate(left) if left[0].iou - other.iou <= TIE]
        other = left.pop(max(near, key=lambda i: iou(pixels, left[i].mask)))
        assert iou(pixels, other.mask) >= 0.9999
        _assert_same_measures(mask, pixels, other)
    ious = [m.predicted_iou for m in found]
    assert ious == sorted(ious, reverse=True)


def iou(a: np.ndarray, b: np.ndarray) -> float:
    union = int((a | b).sum())
    return int((a & b).sum()) / union if union else 1.0


def _assert_same_measures(mask: Mask, pixels: np.ndarray, other: plain.Plain) -> None:
    assert mask.predicted_iou == pytest.approx(other.iou, abs=1e-4)
    assert mask.stability_score == pytest.approx(np.nan_to_num(other.stability), abs=1e-3)
    assert mask.point_coords is not None
    assert [pytest.approx(other.point)] == mask.point_coords
    x0, y0, x1, y1 = other.crop
    assert mask.crop_box == [x0, y0, x1 - x0, y1 - y0]
    assert mask.area == pixels.sum()
    encoded = plain.rle(pixels)
    assert mask.bbox == rle.bbox({"size": encoded["size"], "counts": encoded["counts"]})
    assert mask.prompt_id is None
