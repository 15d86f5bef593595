"""Object proposals (SAM paper, section 7.3 and D.3): average recall of 1,000 masks, whatever their category.

Automatic masks of a 64x64 grid without crops and filters, NMS at .9, ranked by the mean of predicted IoU and stability.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evaluation.data.picture import Picture
from evaluation.measures import coco
from evaluation.task import Case, Figures, Record, Subject, Tally
from model.masks.rle import encode
from model.spec import Automatic

PUBLISHED = Automatic(
    points_per_side=64,
    pred_iou_thresh=0.0,
    stability_score_thresh=0.0,
    box_nms_thresh=0.9,
    crop_n_layers=0,
    min_mask_region_area=0,
    max_masks=20_000,
)
SETTABLE = frozenset(asdict(PUBLISHED)) - {"type", "point_grids"}


@dataclass(frozen=True)
class Proposals:
    """`settings` of a model replace the published parameters, so that thresholds can be compared."""

    most: int = 1000
    name: str = "proposals"
    settings: frozenset[str] = SETTABLE

    def parameters(self) -> dict[str, Any]:
        return {"most": self.most, "published": asdict(PUBLISHED)}

    def measure(self, subject: Subject, picture: Picture) -> Record:
        (masks,) = subject.segmenter.run([picture.image], [replace(PUBLISHED, **subject.settings)])
        score = [(mask.predicted_iou + mask.stability_score) / 2 for mask in masks]
        best = sorted(range(len(masks)), key=lambda i: -score[i])[: self.most]
        results = coco.found([masks[i].rle for i in best], [score[i] for i in best])
        sizes, iou = coco.recalled(coco.truth(picture), results, self.most)
        nearest = {int(i) for i in iou.argmax(0)} if iou.size else set()
        return {"sizes": sizes, "masks": len(masks), "nearest": [results[i]["segmentation"] for i in sorted(nearest)]}

    def tally(self, records: Sequence[Record]) -> Tally:
        tables = {size: np.array([record["sizes"][size] for record in records], np.int64) for size in coco.SIZES}
        return partial(_figures, tables, np.array([record["masks"] for record in records], np.float64), self.most)

    def worth(self, record: Record) -> list[float]:
        return [_recall(np.array(record["sizes"]["all"], np.int64))] if record["sizes"]["all"][0] else []

    def cases(self, picture: Picture, record: Record) -> list[Case]:
        """The mask nearest to each region."""
        regions = [encode(picture.regions[k]) for k in picture.objects]
        return [Case(f"AR@{self.most}", value, regions, record["nearest"]) for value in self.worth(record)]


def _recall(counts: NDArray[np.int64]) -> float:
    """Regions, then those found at each IoU → the mean share. NaN where there is no region."""
    return float(counts[1:].mean() / counts[0]) if counts[0] else float("nan")


def _figures(
    tables: Mapping[str, NDArray[np.int64]], masks: NDArray[np.float64], most: int, index: NDArray[np.int64]
) -> Figures:
    recalls = {f"AR@{most} {size}": _recall(table[index].sum(0)) for size, table in tables.items()}
    return {"regions": float(tables["all"][index, 0].sum()), "masks an image": float(masks[index].mean()), **recalls}
