"""COCO's measures are pycocotools' own, also of a part of the pictures, and of one picture after another."""

import contextlib
import io
from typing import Any

import numpy as np
import pytest
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from evaluation.data.picture import Label, Picture
from evaluation.measures import coco
from model.masks.rle import encode
from tests.evaluation.drawn import disc


def pictures(count: int) -> list[tuple[Picture, coco.Rows]]:
    """Discs of two categories and all sizes, some of them crowds, and results that are moved, doubled or wrong."""
    rng, found = np.random.default_rng(0), []
    for k in range(count):
        at = [(*rng.uniform(20, 180, 2), rng.choice([8, 30, 70])) for _ in range(5)]
        regions = np.stack([disc(200, *spot) for spot in at])
        labels = tuple(Label(int(rng.integers(1, 3)), crowd=i == 4) for i in range(5))
        moved = [disc(200, x + rng.normal(0, 2), y, r * rng.uniform(0.8, 1.1)) for x, y, r in at for _ in range(2)]
        categories = [label.category for label in labels for _ in range(2)]
        results = coco.found([encode(m) for m in moved], rng.random(10).tolist(), categories)
        found.append((Picture(str(k), np.zeros((200, 200, 3), np.uint8), regions, labels=labels), results))
    return found


def theirs(each: list[tuple[Picture, coco.Rows]]) -> COCOeval:
    """pycocotools as its own demo uses it, on files of the whole set."""
    annotations: list[dict[str, Any]] = []
    results: list[dict[str, Any]] = []
    for i, (picture, rows) in enumerate(each, 1):
        for k, region in enumerate(picture.regions):
            rle = coco_mask.encode(np.asfortranarray(region.astype(np.uint8)))
            label = picture.labels[k]
            row = {"id": len(annotations) + 1, "image_id": i, "category_id": label.category, "segmentation": rle}
            box = [float(v) for v in coco_mask.toBbox(rle)]
            annotations.append(row | {"iscrowd": int(label.crowd), "area": float(region.sum()), "bbox": box})
        results += [{**row, "image_id": i} for row in rows]
    right = COCO()
    images = [{"id": i, "height": 200, "width": 200} for i in range(1, len(each) + 1)]
    right.dataset = {"images": images, "annotations": annotations, "categories": [{"id": 1}, {"id": 2}]}
    right.createIndex()
    return COCOeval(right, right.loadRes(results), "segm")


def test_precision_is_pycocotools_own() -> None:
    each = pictures(4)
    ours = coco.Precision([coco.truth(p) for p, _ in each], [rows for _, rows in each])
    with contextlib.redirect_stdout(io.StringIO()):
        for index in ([0, 1, 2, 3], [2, 0]):
            part = theirs([each[i] for i in index])
            part.evaluate()
            part.accumulate()
            part.summarize()
            found = ours.figures(np.array(index))
            assert list(found.values()) == pytest.approx(part.stats.tolist())
    assert 0.05 < found["AP"] < 0.9
    twice = ours.figures(np.array([1, 1, 3]))
    assert twice["AR@100"] == pytest.approx(ours.figures(np.array([1, 3, 1]))["AR@100"])


def test_recall_of_one_after_another_is_that_of_all() -> None:
    each = pictures(3)
    sizes = [coco.recalled(coco.truth(picture), rows, 4)[0] for picture, rows in each]
    with contextlib.redirect_stdout(io.StringIO()):
        whole = theirs(each)
        whole.params.useCats, whole.params.maxDets = 0, [4]
        whole.evaluate()
        whole.accumulate()
    for k, size in enumerate(coco.SIZES):
        counts = np.sum([one[size] for one in sizes], 0)
        assert counts[1:].mean() / counts[0] == pytest.approx(whole.eval["recall"][:, 0, k, 0].mean())


def test_nothing_found_and_nothing_to_find() -> None:
    (picture, rows), empty = pictures(1)[0], Picture("e", np.zeros((9, 9, 3), np.uint8), np.zeros((0, 9, 9), np.bool_))
    assert coco.recalled(coco.truth(picture), [], 10)[0]["all"] == [4] + [0] * 10
    assert coco.recalled(coco.truth(empty), rows, 10)[0]["all"] == [0] * 11
    assert coco.Precision([coco.truth(picture)], [[]]).figures(np.zeros(1, np.int64))["AP"] == 0
    assert np.isnan(coco.Precision([[]], [rows]).figures(np.zeros(1, np.int64))["AP"])
