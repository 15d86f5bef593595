"""Phrases become masks, as in a text job: the names of the categories that a picture has, asked together.

For each phrase of a picture the masks found are joined, and compared with the joined regions of its category, as
referring segmentation is measured. R@1 is the share of phrases whose best mask is a region of its category, as phrase
grounding is measured. AP is COCO's or LVIS's, over the phrases of the picture.

Other phrases may be asked in every picture too. Then `own@1` is the share of pictures in which the phrase with the
highest score is one of the picture's own.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evaluation.data.picture import GroundTruthError, Map, Picture
from evaluation.measures import coco, lvis
from evaluation.task import Case, Figures, Record, Subject, Tally
from model.errors import ModelError
from model.masks.mask import Mask
from model.masks.rle import decode, encode
from model.spec import MAX_PHRASES, Text

SETTABLE = frozenset({"box_threshold", "text_threshold", "nms_threshold", "cross_nms_threshold", "max_masks"})
RIGHT = 0.5  # IoU


@dataclass(frozen=True)
class Phrases:
    """Masks for the names of categories, and for `also`, by the model for text that a subject names."""

    also: tuple[str, ...] = ()
    name: str = "text"
    settings: frozenset[str] = SETTABLE

    def parameters(self) -> dict[str, Any]:
        return {"also": list(self.also)}

    def measure(self, subject: Subject, picture: Picture) -> Record:
        if subject.segmenter.words is None:
            raise ModelError("this task needs a model for text: --model NAME,text=FOLDER or text=OWNER/NAME")
        names = {label.name: label.category for label in picture.labels}
        if not all(names) or (len(picture.regions) and not names):
            raise GroundTruthError("phrases are the names of categories, which --format coco and lvis have")
        given = _asked(subject, picture, list(dict.fromkeys((*names, *self.also)))) if names else []
        found = [m for m in given if m.phrase in names]
        phrases = [_compared(picture, name, [m for m in found if m.phrase == name]) for name in names]
        scores, categories = [_score(m) for m in found], [names[m.phrase or ""] for m in found]
        results = coco.found([m.rle for m in found], scores, categories)
        record: Record = {"phrases": phrases, "truth": coco.truth(picture), "found": results}
        if names and self.also:
            record["own"] = bool(given) and max(given, key=_score).phrase in names
        return record if picture.federated is None else record | {"federated": asdict(picture.federated)}

    def tally(self, records: Sequence[Record]) -> Tally:
        rows = [np.array([(p["both"], p["either"]) for p in r["phrases"]], np.float64).reshape(-1, 2) for r in records]
        precision = lvis.precision(records)

        def figures(index: NDArray[np.int64]) -> Figures:
            each, part = precision.figures(index), [records[i] for i in index]
            shown = {**_joined(np.concatenate([rows[i] for i in index])), **_first(part)}
            return {**shown, "AP": each["AP"], "AP50": each["AP50"]}

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


def _score(mask: Mask) -> float:
    return mask.score or 0.0


def _compared(picture: Picture, phrase: str, masks: list[Mask]) -> Record:
    """Of all masks of a phrase joined, and of the best one: its IoU with the region that it fits best."""
    found, right = np.zeros(picture.image.shape[:2], np.bool_), _of(picture, phrase)
    for mask in masks:
        found |= decode(mask.rle)
    both, either = int((found & right).sum()), int((found | right).sum())
    best = decode(max(masks, key=_score).rle) if masks else np.zeros_like(right)
    each = [r for r, label in zip(picture.regions, picture.labels, strict=True) if label.name == phrase]
    first = max(float((best & region).sum() / (best | region).sum()) for region in each)
    return {"phrase": phrase, "both": both, "either": either, "first": first, "found": encode(found)}


def _first(records: Sequence[Record]) -> Figures:
    """R@1 over the phrases, and own@1 over the pictures where other phrases were asked too."""
    fits = [p["first"] >= RIGHT for record in records for p in record["phrases"]]
    own = [record["own"] for record in records if "own" in record]
    shown = {"R@1": float(np.mean(fits))} if fits else {}
    return shown | ({"own@1": float(np.mean(own))} if own else {})


def _joined(rows: NDArray[np.float64]) -> Figures:
    """Rows of shared and of joined pixels. mIoU is the mean of their ratios, oIoU the ratio of their sums."""
    if not len(rows):
        return {"phrases": 0.0}
    iou = rows[:, 0] / rows[:, 1]
    sums = rows.sum(0)
    figures = {"mIoU": iou.mean(), "oIoU": sums[0] / sums[1], "right at .5": (iou >= RIGHT).mean()}
    return {"phrases": float(len(rows)), **{name: float(value) for name, value in figures.items()}}
