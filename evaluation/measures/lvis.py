"""LVIS's average precision: pycocotools matches, and the rules of a federated data set lie on top (Gupta et al., 2019).

Not every category was looked for in every image. So the results of an image count for two kinds of category: those that
it has, and those that it is known not to have. Where the regions of a category were not all drawn, a mask without a
region is no mistake. An image has up to 300 results, of all categories together.
"""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from evaluation.measures import coco

Record = dict[str, Any]
"""What was measured in one picture: `truth`, `found`, and of a federated data set `federated`."""
MOST: Final = 300
GROUPS: Final = {"r": "rare", "c": "common", "f": "frequent"}
"""Of categories, by the number of images that have one."""


class Precision:
    """As `coco.Precision`, of records with `federated`."""

    def __init__(self, records: Sequence[Record]) -> None:
        results = [counted(record) for record in records]
        self.precision = coco.Precision([record["truth"] for record in records], results, [MOST])
        for one in self.precision.each:
            if one is not None:
                _forgive(one, records[one["image_id"] - 1])
        rows = [row for record in records for row in record["truth"]]
        self.group = {row["category_id"]: GROUPS.get(row.get("frequency", ""), "") for row in rows}

    def figures(self, index: NDArray[np.int64]) -> dict[str, float]:
        """LVIS's figures of the images with these indexes. NaN where there is nothing of a size or group."""
        found = self.precision.accumulated(index)
        precision, recall = found["precision"][..., -1], found["recall"][..., -1]  # (T, R, K, A), (T, K, A)
        figures = {"AP": _mean(precision[..., 0])}
        for name, threshold in (("AP50", 0.5), ("AP75", 0.75)):
            at = np.isclose(self.precision.judged.params.iouThrs, threshold)
            figures[name] = _mean(precision[at][..., 0])
        figures |= {f"AP {size}": _mean(precision[..., k]) for k, size in enumerate(coco.SIZES) if k}
        groups = np.array([self.group.get(one, "") for one in self.precision.judged.params.catIds])
        figures |= {f"AP {name}": _mean(precision[:, :, groups == name, 0]) for name in GROUPS.values()}
        return {**figures, f"AR@{MOST}": _mean(recall[..., 0])}


def precision(records: Sequence[Record]) -> coco.Precision | Precision:
    """By the rules of the data set that the pictures are from."""
    if any("federated" in record for record in records):
        return Precision(records)
    return coco.Precision([record["truth"] for record in records], [record["found"] for record in records])


def counted(record: Record) -> coco.Rows:
    """The best results of an image, without those of categories that nobody looked for in it."""
    best = sorted(record["found"], key=lambda row: -row["score"])[:MOST]
    known = {row["category_id"] for row in record["truth"]} | set(record["federated"]["negative"])
    return [row for row in best if row["category_id"] in known]


def _forgive(one: dict[str, Any], record: Record) -> None:
    """Masks without a region count neither way, where the category's regions were not all drawn."""
    if one["category_id"] in record["federated"]["not_exhaustive"]:
        one["dtIgnore"] = np.logical_or(one["dtIgnore"], np.asarray(one["dtMatches"]) == 0)


def _mean(values: NDArray[np.float64]) -> float:
    known = values[values > -1]
    return float(known.mean()) if known.size else float("nan")
