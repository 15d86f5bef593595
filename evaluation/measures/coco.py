"""COCO's measures, by pycocotools. Images are numbered by their place in the lists, from 1."""

import contextlib
import io
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evaluation.data.picture import Picture
from model.masks.rle import RLE, bbox, encode

Rows = list[dict[str, Any]]
"""Annotations or results of one image in COCO's form, without the image's id."""
SIZES = ("all", "small", "medium", "large")
AP = ("AP", "AP50", "AP75", "AP small", "AP medium", "AP large")
AR = ("AR@1", "AR@10", "AR@100", "AR small", "AR medium", "AR large")
DETECTIONS = [1, 10, 100]


def truth(picture: Picture) -> Rows:
    """The regions of a picture as annotations."""
    rows = []
    for k, region in enumerate(picture.regions):
        label, rle = picture.label(k), encode(region)
        area = float(region.sum()) if label.area is None else label.area
        rows.append(
            {"segmentation": rle, "category_id": label.category, "iscrowd": int(label.crowd), "area": area}
            | {"bbox": bbox(rle)}
            | ({"frequency": label.frequency} if label.frequency else {})
        )
    return rows


def found(masks: Sequence[RLE], scores: Sequence[float], categories: Sequence[int] | None = None) -> Rows:
    """Masks as results."""
    named = [1] * len(masks) if categories is None else categories
    return [
        {"segmentation": m, "score": float(s), "category_id": c} for m, s, c in zip(masks, scores, named, strict=True)
    ]


def judged(truths: Sequence[Rows], results: Sequence[Rows], most: list[int], categories: bool) -> Any:
    """A COCOeval of masks after its `evaluate`. Without `categories` a result may match a region of any."""
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    with contextlib.redirect_stdout(io.StringIO()):
        right, given = COCO(), COCO()
        images = [{"id": i, **_size(*rows)} for i, rows in enumerate(zip(truths, results, strict=True), 1)]
        known = sorted({row["category_id"] for rows in (*truths, *results) for row in rows})
        right.dataset = {"images": images, "categories": [{"id": c} for c in known], "annotations": _numbered(truths)}
        right.createIndex()
        answers = _numbered(results)
        if answers:
            given = right.loadRes(answers)
        else:
            given.dataset = {**right.dataset, "annotations": []}
            given.createIndex()
        found = COCOeval(right, given, "segm")
        found.params.useCats, found.params.maxDets = int(categories), most
        found.evaluate()
    return found


def _size(*rows: Rows) -> dict[str, int]:
    """The image's size, of any of its masks."""
    height, width = next((row["segmentation"]["size"] for part in rows for row in part), (1, 1))
    return {"height": height, "width": width}


def _numbered(each: Sequence[Rows]) -> Rows:
    """With the image's id, and ids of their own from 1."""
    rows = [{**row, "image_id": i} for i, rows in enumerate(each, 1) for row in rows]
    return [{**row, "id": k} for k, row in enumerate(rows, 1)]


class Precision:
    """COCO's average precision and recall over any choice of images, from one matching of them all."""

    def __init__(self, truths: Sequence[Rows], results: Sequence[Rows], most: list[int] = DETECTIONS) -> None:
        self.judged = judged(truths, results, most, categories=True)
        self.images = len(truths)
        self.each = list(self.judged.evalImgs)  # by category, size and image

    def accumulated(self, index: NDArray[np.int64]) -> dict[str, Any]:
        """pycocotools' precision and recall of the images with these indexes."""
        groups = range(0, len(self.each), self.images)
        self.judged.evalImgs = [self.each[start + i] for start in groups for i in index]
        for part in (self.judged.params, self.judged._paramsEval):  # their number of images is the length of a group
            part.imgIds = list(range(len(index)))
        with contextlib.redirect_stdout(io.StringIO()):
            self.judged.accumulate()
        return dict(self.judged.eval)

    def figures(self, index: NDArray[np.int64]) -> dict[str, float]:
        """pycocotools' twelve figures of the images with these indexes. NaN where there is nothing of a size."""
        self.accumulated(index)
        with contextlib.redirect_stdout(io.StringIO()):
            self.judged.summarize()
        values = [float(v) if v >= 0 else float("nan") for v in self.judged.stats]
        return dict(zip((*AP, *AR), values, strict=True))


def recalled(picture: Rows, results: Rows, most: int) -> tuple[dict[str, list[int]], NDArray[np.float64]]:
    """How many regions of one image are found by up to `most` masks of any category: for each size their number, then
    how many are found at IoU .5, .55, …, .95. And the IoU of each mask, best score first, with each region."""
    state = judged([picture], [results], [most], categories=False)
    sizes: dict[str, list[int]] = {}
    for size, one in zip(SIZES, state.evalImgs, strict=True):
        if one is None:
            sizes[size] = [0] * (1 + len(state.params.iouThrs))
            continue
        counts = ~np.asarray(one["gtIgnore"], np.bool_)
        matches = (np.asarray(one["gtMatches"]) > 0) & counts
        sizes[size] = [int(counts.sum()), *matches.sum(1).astype(int).tolist()]
    iou = np.asarray(state.ious[(1, -1)], np.float64)
    return sizes, iou.reshape(-1, len(picture)) if iou.size else np.zeros((0, len(picture)))
