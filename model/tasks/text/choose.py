"""Which candidates count for which phrases. numpy only.

A candidate counts if its best phrase scores above `box_threshold`, and then for each phrase that scores above
`text_threshold`. Phrases are kept apart: suppression is within a phrase, and across phrases only where the task asks.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from model.masks.nms import nms
from model.spec import MAX_PROMPTS, Text
from model.words.protocol import Found


@dataclass(frozen=True)
class Match:
    """A candidate by its index, and a phrase that it matches."""

    candidate: int
    phrase: str
    score: float


@dataclass(frozen=True)
class Rules:
    """The parameters of a text task with every default filled in."""

    phrases: tuple[str, ...]
    box_threshold: float
    text_threshold: float
    nms_threshold: float
    cross_nms_threshold: float | None
    max_masks: int | None

    @classmethod
    def of(cls, task: Text, defaults: Mapping[str, float]) -> "Rules":
        box, within = task.box_threshold, task.nms_threshold
        box = defaults["box_threshold"] if box is None else box
        return cls(
            phrases=task.phrases,
            box_threshold=box,
            text_threshold=box if task.text_threshold is None else task.text_threshold,
            nms_threshold=defaults["nms_threshold"] if within is None else within,
            cross_nms_threshold=task.cross_nms_threshold,
            max_masks=task.max_masks,
        )


def clipped(found: Found, height: int, width: int) -> Found:
    """Boxes cut to the image. A candidate without an area there matches nothing."""
    boxes = np.clip(found.boxes, 0, [width, height, width, height])
    empty = (boxes[:, 2] <= boxes[:, 0]) | (boxes[:, 3] <= boxes[:, 1])
    return replace(found, boxes=boxes, scores=np.where(empty[:, None], np.float32(0), found.scores))


def choose(found: Found, rules: Rules) -> list[Match]:
    """Matches, phrase by phrase in the task's order, the best first; at most MAX_PROMPTS in all, the best of them."""
    counts = found.scores.max(1, initial=0) > rules.box_threshold
    matches = [match for i in range(len(rules.phrases)) for match in _of_phrase(found, counts, i, rules)]
    if rules.cross_nms_threshold is not None:
        matches = _apart(found, matches, rules.cross_nms_threshold)
    best = sorted(range(len(matches)), key=lambda i: -matches[i].score)[:MAX_PROMPTS]
    return [matches[i] for i in sorted(best)]


def _of_phrase(found: Found, counts: NDArray[np.bool_], phrase: int, rules: Rules) -> list[Match]:
    scores = found.scores[:, phrase]
    index = np.flatnonzero(counts & (scores > rules.text_threshold))
    kept = index[nms(found.boxes[index], scores[index], rules.nms_threshold)][: rules.max_masks]
    return [Match(int(i), rules.phrases[phrase], float(scores[i])) for i in kept]


def _apart(found: Found, matches: list[Match], threshold: float) -> list[Match]:
    boxes = found.boxes[[match.candidate for match in matches]].reshape(-1, 4)
    kept = nms(boxes, np.asarray([match.score for match in matches], np.float32), threshold)
    return [matches[i] for i in sorted(kept)]
