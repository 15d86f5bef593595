"""Phrases become masks, as in a text job: the names of the categories that a picture has, asked together.

For each phrase of a picture the masks found are joined, and compared with the joined regions of its category, as
referring segmentation is measured. AP is COCO's, over the phrases that were asked.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evaluation.data.picture import GroundTruthError, Map, Picture
from evaluation.measures import coco
from evaluation.task import Case, Figures, Record, Subject, Tally
from model.errors import ModelError
from model.masks.mask import Mask
from model.masks.rle import decode, encode
from model.spec import MAX_PHRASES, Text

SETTABLE = frozenset({"box_threshold", "text_threshold", "nms_threshold", "cross_nms_threshold", "max_masks"})
RIGHT = 0.5  # IoU


@dataclass(frozen=True)
class Phrases:
    """Masks for the names of categories, by the model for text that a subject names."""

    name: str = "text"
    settings: frozenset[str] = SETTABLE

    def parameters(self) -> dict[str, Any]:
        return {}

    def measure(self, subject: Subject, picture: Picture) -> Record:
        if subject.segmenter.words is None:
            raise ModelError("this task needs a model for text: --model NAME,text=FOLDER or text=OWNER/NAME")
        names = {label.name: label.category for label in picture.labels}
        if not all(names) or (len(picture.regions) and not names):
            raise GroundTruthError("phrases are the names of categories, which --format coco and lvis have")
        found = _asked(subject, picture, list(names))
        phrases = [_compared(picture, name, [m for m in found if m.phrase == name]) for name in names]
        scores, categories = [m.score or 0.0 for m in found], [names[m.phrase or ""] for m in found]
        results = coco.found([m.rle for m in found], scores, categories)
        return {"phrases": phrases, "truth": coco.truth(picture), "found": results}

    def tally(self, records: Sequence[Record]) -> Tally:
        rows = [np.array([(p["both"], p["either"]) for p in r["phrases"]], np.float64).reshape(-1, 2) for r in records]
        precision = coco.Precision([r["truth"] for r in records], [r["found"] for r in records])

        def figures(index: NDArray[np.int64]) -> Figures:
            each = precision.figures(index)
            return {**_joined(np.concatenate([rows[i] for i in index])), "AP": each["AP"], "AP50": each["AP50"]}

        return figures

    def worth(self, record: Record) -> list[float]:
        return [p["both"] / p["either"] for p in record["phrases"]]

    def cases(self, picture: Picture, record: Record) -> list[Case]:
        return [
            Case(p["phrase"], value, [encode(_of(picture, p["phrase"]))], [p["found"]])
            for p, value in zip(record["phrases"], self.worth(record), strict=True)
        ]


def _asked(subject: Subject, picture: Picture, names: list[str]) -> list[Mask]:
    found: list[Mask] = []
    for at in range(0, len(names), MAX_PHRASES):
        task = Text(tuple(names[at : at + MAX_PHRASES]), **subject.settings)
        (masks,) = subject.segmenter.run([picture.image], [task])
        found += masks
    return found


def _of(picture: Picture, phrase: str) -> Map:
    """All regions of a category."""
    return np.asarray(picture.regions[[label.name == phrase for label in picture.labels]].any(0), np.bool_)


def _compared(picture: Picture, phrase: str, masks: list[Mask]) -> Record:
    found, right = np.zeros(picture.image.shape[:2], np.bool_), _of(picture, phrase)
    for mask in masks:
        found |= decode(mask.rle)
    both, either = int((found & right).sum()), int((found | right).sum())
    return {"phrase": phrase, "both": both, "either": either, "found": encode(found)}


def _joined(rows: NDArray[np.float64]) -> Figures:
    """Rows of shared and of joined pixels. mIoU is the mean of their ratios, oIoU the ratio of their sums."""
    if not len(rows):
        return {"phrases": 0.0}
    iou = rows[:, 0] / rows[:, 1]
    sums = rows.sum(0)
    figures = {"mIoU": iou.mean(), "oIoU": sums[0] / sums[1], "right at .5": (iou >= RIGHT).mean()}
    return {"phrases": float(len(rows)), **{name: float(value) for name, value in figures.items()}}
