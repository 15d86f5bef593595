"""Suppression by box against a plain loop."""

import numpy as np
import pytest

from model.masks.nms import nms
from tests.model import plain


@pytest.mark.parametrize("threshold", [0.5, 0.6, 0.7])
def test_nms_equals_the_plain_loop(threshold: float) -> None:
    random = np.random.default_rng(0)
    for count in (0, 1, 2, 300):
        corner = random.integers(0, 60, (count, 2))
        boxes = np.concatenate([corner, corner + random.integers(0, 40, (count, 2))], 1)
        scores = random.integers(0, 5, count) / 4  # many ties
        found = [plain.Plain(np.zeros((1, 1), bool), b.tolist(), i, 0, [], []) for i, b in enumerate(boxes)]
        expected = [f.iou for f in plain.suppress(found, scores.tolist(), threshold)]
        assert nms(boxes, scores, threshold).tolist() == expected


@pytest.mark.parametrize("fifths", [1, 2, 3, 4])
def test_an_overlap_of_exactly_the_threshold_stays(fifths: int) -> None:
    boxes = np.asarray([[0, 0, 10, 10], [0, 0, 10, 2 * fifths]])
    assert nms(boxes, np.asarray([0.9, 0.8]), fifths / 5).tolist() == [0, 1]
    assert nms(boxes, np.asarray([0.9, 0.8]), fifths / 5 - 1e-6).tolist() == [0]
