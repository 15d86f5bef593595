"""Small regions against OpenCV's labels."""

from itertools import product

import numpy as np
import pytest

from model.masks import rle
from model.masks.regions import without_small_regions
from tests.model import plain


@pytest.mark.parametrize("area", [1, 5, 40, 10_000])
def test_small_regions(area: int) -> None:
    random = np.random.default_rng(1)
    shapes = [(40, 50), (1, 1), (1, 60), (60, 1), (2, 9), (33, 7)]
    for density, shape in product((0.0, 0.1, 0.3, 0.6, 0.9, 1.0), shapes):
        mask = random.random(shape) < density
        filled, a = plain.without_small(mask, area, True)
        expected, b = plain.without_small(filled, area, False)
        found, changed = without_small_regions(rle.runs(mask), len(mask), area)
        assert found.tolist() == rle.runs(expected).tolist() and changed == (a or b)
