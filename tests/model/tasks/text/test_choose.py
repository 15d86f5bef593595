"""Which boxes count for which phrases."""

from typing import Any

import numpy as np

from model.spec import MAX_PROMPTS, Text
from model.tasks.text.choose import Rules, choose, clipped
from model.words.protocol import Found

BOXES = np.asarray([[0, 0, 10, 10], [1, 0, 10, 10], [50, 50, 60, 60], [50, 50, 60, 59]], np.float64)
SCORES = np.asarray([[0.9, 0.3], [0.8, 0.1], [0.4, 0.7], [0.45, 0.2]], np.float32)
FOUND = Found(BOXES, SCORES)


def chosen(found: Found = FOUND, **given: Any) -> list[tuple[int, str]]:
    rules = Rules.of(Text(("cat", "dog"), **given), {"box_threshold": 0.35, "nms_threshold": 0.7})
    return [(match.candidate, match.phrase) for match in choose(found, rules)]


def test_phrases_are_kept_apart_and_suppressed_one_by_one() -> None:
    assert chosen() == [(0, "cat"), (3, "cat"), (2, "dog")]
    assert chosen(nms_threshold=1.0) == [(0, "cat"), (1, "cat"), (3, "cat"), (2, "cat"), (2, "dog")]
    assert chosen(max_masks=1) == [(0, "cat"), (2, "dog")]


def test_the_thresholds() -> None:
    """A box counts by its best phrase, then for each phrase above the other threshold; both are exclusive."""
    assert chosen(box_threshold=0.5) == [(0, "cat"), (2, "dog")]
    assert chosen(box_threshold=0.7) == [(0, "cat")]
    assert chosen(box_threshold=0.5, text_threshold=0.25) == [(0, "cat"), (2, "cat"), (2, "dog"), (0, "dog")]
    assert chosen(box_threshold=0.0, text_threshold=0.95) == []


def test_suppression_across_phrases_keeps_the_better() -> None:
    assert chosen(cross_nms_threshold=0.7) == [(0, "cat"), (2, "dog")]


def test_boxes_are_cut_to_the_image() -> None:
    wild = np.asarray([[-5, -5, 10, 10], [90, 0, 130, 20], [200, 0, 300, 9], [20, 20, 20, 30]], np.float64)
    found = clipped(Found(wild, np.ones((4, 2), np.float32)), 50, 100)
    assert chosen(found) == [(0, "cat"), (1, "cat"), (0, "dog"), (1, "dog")]
    assert found.boxes[:2].tolist() == [[0, 0, 10, 10], [90, 0, 100, 20]]


def test_nothing_and_too_much() -> None:
    assert chosen(Found(np.zeros((0, 4)), np.zeros((0, 2), np.float32))) == []
    side = np.arange(1500.0)
    scores = np.stack([np.linspace(0.5, 0.9, 1500), np.zeros(1500)], 1).astype(np.float32)
    many = Found(np.stack([side, side, side + 0.5, side + 0.5], 1), scores)
    assert chosen(many) == [(i, "cat") for i in range(1499, 1499 - MAX_PROMPTS, -1)]
