"""One click and one box for each region, beside classical methods that get the same."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evaluation.classical import (
    SCALES,
    THREE_TOLERANCES,
    TOLERANCES,
    felzenszwalb_regions,
    filled_box,
    flood_fill,
    grab_cut,
)
from evaluation.data.picture import Map, Picture
from evaluation.predictor import Predictor, single
from evaluation.task import Case, Figures, Record, Subject, Tally
from model.backends.sam import Segmenter
from model.masks.rle import encode
from training.clicks import Click, box_around, farthest_inside, iou


@dataclass(frozen=True)
class Row:
    """One region. `predicted` and `true` are of the three click masks."""

    region: int
    click: tuple[int, int]
    ious: Figures
    predicted: tuple[float, ...] = ()
    true: tuple[float, ...] = ()
    found: Map | None = None  # the answer to the click


@dataclass(frozen=True)
class Classical:
    """The model's IoU by click and box, and that of classical methods at their best setting of the whole data set."""

    name: str = "classical"
    settings: frozenset[str] = frozenset()

    def parameters(self) -> dict[str, Any]:
        return {}

    def measure(self, subject: Subject, picture: Picture) -> Record:
        return {"regions": [_told(row) for row in measure_picture(subject.segmenter, picture)]}

    def tally(self, records: Sequence[Record]) -> Tally:
        each = [[_row(told) for told in record["regions"]] for record in records]
        return lambda index: summary([row for i in index for row in each[i]])

    def worth(self, record: Record) -> list[float]:
        return [row["ious"]["top"] for row in record["regions"]]

    def cases(self, picture: Picture, record: Record) -> list[Case]:
        return [
            Case(
                f"region {row['region']}",
                row["ious"]["top"],
                [encode(picture.regions[row["region"]])],
                [row["found"]],
                [(*row["click"], True)],
            )
            for row in record["regions"]
        ]


def _told(row: Row) -> Record:
    assert row.found is not None
    return {**vars(row), "found": encode(row.found)}


def _row(told: Record) -> Row:
    return Row(told["region"], told["click"], told["ious"], tuple(told["predicted"]), tuple(told["true"]))


def measure_picture(segmenter: Segmenter, picture: Picture, classical: bool = True) -> list[Row]:
    """A row for each region."""
    predictor = Predictor(segmenter, picture.image)
    regions = felzenszwalb_regions(picture.image) if classical else {}
    rows = []
    for k, wanted in enumerate(picture.regions):
        row = _measure_sam(predictor, k, wanted)
        if classical:
            row.ious.update(_measure_classical(picture, wanted, regions))
        rows.append(row)
    return rows


def _measure_sam(predictor: Predictor, region: int, wanted: Map) -> Row:
    x, y = farthest_inside(wanted)
    answer = predictor.ask([Click(x, y, True)])
    true = tuple(iou(mask, wanted) for mask in answer.masks)
    boxed = predictor.ask(box=box_around(wanted), multimask=False)
    found = single(answer)
    ious = {"top": iou(found, wanted), "oracle": max(true), "box": iou(boxed.masks[0], wanted)}
    return Row(region, (x, y), ious, tuple(float(s) for s in answer.scores), true, found)


def _measure_classical(picture: Picture, wanted: Map, regions: dict[int, NDArray[np.intp]]) -> Figures:
    x, y = farthest_inside(wanted)
    box = box_around(wanted)
    floods = {t: iou(mask, wanted) for t, mask in flood_fill(picture.image, x, y).items()}
    felz = {s: iou(labels == labels[y, x], wanted) for s, labels in regions.items()}
    return {
        **{f"flood {t}": score for t, score in floods.items()},
        "flood best of 3": max(floods[t] for t in THREE_TOLERANCES),
        **{f"felzenszwalb {s}": score for s, score in felz.items()},
        "felzenszwalb best of 3": max(felz.values()),
        "grabcut": iou(grab_cut(picture.image, box), wanted),
        "filled box": iou(filled_box(picture.image, box), wanted),
    }


def correlation(rows: list[Row]) -> float:
    """Pearson's r between predicted and true IoU over every click mask."""
    predicted = np.array([p for row in rows for p in row.predicted])
    true = np.array([t for row in rows for t in row.true])
    if len(true) < 2 or predicted.std() == 0 or true.std() == 0:
        return 0.0
    return float(np.corrcoef(predicted, true)[0, 1])


def summary(rows: list[Row]) -> Figures:
    """Means over regions. The best setting of a classical method is its best single one on these regions."""
    if not rows:
        return {"regions": 0.0}
    mean = {name: float(np.mean([row.ious[name] for row in rows])) for name in rows[0].ious}
    found = {"regions": float(len(rows)), "correlation": correlation(rows), **mean}
    if "grabcut" in mean:
        found["flood best tolerance"] = max(mean[f"flood {t}"] for t in TOLERANCES)
        found["felzenszwalb best scale"] = max(mean[f"felzenszwalb {s}"] for s in SCALES)
    return found
