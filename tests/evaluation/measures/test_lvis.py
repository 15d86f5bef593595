"""LVIS's figures equal a slow restatement of its published rules."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from evaluation.measures import coco, lvis
from evaluation.task import Record
from model.masks.rle import decode, encode
from tests.evaluation.drawn import disc

THRESHOLDS = np.linspace(0.5, 0.95, 10)
RARE, COMMON, ABSENT, UNKNOWN = 3, 5, 7, 9


def records(count: int) -> list[Record]:
    """Discs of two categories; results of these, of one that is known to be absent, and of one nobody looked for."""
    rng, found = np.random.default_rng(3), []
    for k in range(count):
        at = [(*rng.uniform(20, 100, 2), rng.choice([7, 14, 25])) for _ in range(4)]
        categories = [RARE if k == 0 and i == 0 else COMMON for i in range(4)]
        truth = [
            {"segmentation": (rle := encode(disc(120, *spot))), "category_id": category, "iscrowd": 0}
            | {"area": float(decode(rle).sum()), "bbox": [0, 0, 1, 1], "frequency": {RARE: "r", COMMON: "c"}[category]}
            for spot, category in zip(at, categories, strict=True)
        ]
        moved = [disc(120, x + rng.normal(0, 2), y, r * rng.uniform(0.8, 1.15)) for x, y, r in at for _ in range(3)]
        named = [int(rng.choice([RARE, COMMON, ABSENT, UNKNOWN], p=[0.2, 0.6, 0.1, 0.1])) for _ in moved]
        results = coco.found([encode(m) for m in moved], rng.random(len(moved)).tolist(), named)
        federated = {"negative": [ABSENT, RARE] if k % 2 else [ABSENT], "not_exhaustive": [COMMON] if k == 1 else []}
        found.append({"truth": truth, "found": results, "federated": federated})
    return found


def matched(record: Record, category: int, threshold: float) -> list[tuple[float, bool, bool]]:
    """Score, whether it is right, and whether it counts, of each result that the image's rules let in."""
    here = {row["category_id"] for row in record["truth"]}
    if category not in here | set(record["federated"]["negative"]):
        return []
    open_ = [decode(row["segmentation"]) for row in record["truth"] if row["category_id"] == category]
    said = []
    rows = [row for row in record["found"] if row["category_id"] == category]
    for row in sorted(rows, key=lambda row: -row["score"]):
        mask = decode(row["segmentation"])
        shared = [float((mask & one).sum() / (mask | one).sum()) for one in open_]
        right = bool(shared) and max(shared) >= threshold
        if right:
            open_.pop(int(np.argmax(shared)))
        said.append((row["score"], right, right or category not in record["federated"]["not_exhaustive"]))
    return said


def restated(each: Sequence[Record], category: int, threshold: float) -> tuple[float, float]:
    """Average precision over 101 recalls, and the recall at the end."""
    regions = sum(row["category_id"] == category for record in each for row in record["truth"])
    said = sorted((one for record in each for one in matched(record, category, threshold)), key=lambda one: -one[0])
    right = np.cumsum([good for _, good, counts in said if counts])
    if not len(right):
        return 0.0, 0.0
    recall, precision = right / regions, right / np.arange(1, len(right) + 1)
    best = [max(precision[recall >= at], default=0.0) for at in np.linspace(0, 1, 101)]
    return float(np.mean(best)), float(recall[-1])


def mean(each: Sequence[Record], categories: Sequence[int], thresholds: Any = THRESHOLDS) -> tuple[float, float]:
    values = [restated(each, category, threshold) for category in categories for threshold in thresholds]
    return tuple(np.mean(values, 0).tolist())


def test_figures_are_those_of_the_published_rules() -> None:
    each = records(4)
    ours = lvis.Precision(each)
    for index in ([0, 1, 2, 3], [1, 0]):
        found, part = ours.figures(np.array(index)), [each[i] for i in index]
        ap, recall = mean(part, (RARE, COMMON))
        assert (found["AP"], found["AR@300"]) == pytest.approx((ap, recall))
        assert found["AP50"] == pytest.approx(mean(part, (RARE, COMMON), [0.5])[0])
        assert found["AP rare"] == pytest.approx(mean(part, (RARE,))[0])
        assert found["AP common"] == pytest.approx(mean(part, (COMMON,))[0])
        assert np.isnan(found["AP frequent"]) and 0.02 < found["AP"] < 0.9
    plain = coco.Precision([r["truth"] for r in each], [r["found"] for r in each]).figures(np.arange(4))
    assert plain["AP"] < ours.figures(np.arange(4))["AP"]  # COCO's rules count what nobody looked for as wrong


def test_only_the_best_three_hundred_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lvis, "MOST", 2)
    (record,) = records(1)
    kept = sorted(record["found"], key=lambda row: -row["score"])[:2]
    assert lvis.counted(record) == [row for row in kept if row["category_id"] != UNKNOWN]
