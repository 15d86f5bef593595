"""Rounds of clicking and training: their pictures, what is counted, and what the report says of it."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine.rounds.cells import draw_cells
from engine.rounds.clicks import Clicks, counted
from engine.rounds.pictures import write_pictures
from engine.rounds.plan import Folder, OtherRun, Plan
from engine.rounds.report import figures, svg, table
from engine.truth import read_truth
from maskworks.masks import RLE
from maskworks.records import Annotation


def stored(image: str, clicks: int, state: str = "accepted") -> Annotation:
    now = datetime.now(UTC)
    made: dict[str, Any] = {"state": state, "stage": "assisted", "annotator": "a", "clicks": clicks, "create_time": now}
    return Annotation("1", image, RLE((2, 2), "04"), (0, 0, 2, 2), 4, **made)


def measured(number: int, clicks: list[list[int]]) -> dict[str, Any]:
    return {"weights": number, "check": [[(c, c < 10) for c in picture] for picture in clicks]}


def test_the_same_seeds_draw_the_same_cells(tmp_path: Path) -> None:
    image, masks = draw_cells(3)
    again, _ = draw_cells(3)
    assert np.array_equal(image, again) and not np.array_equal(image, draw_cells(4)[0])
    assert 3 <= len(masks) <= 10 and np.sum(masks, 0).max() == 1  # no pixel belongs to two
    for _ in range(2):
        write_pictures(draw_cells, range(3, 5), tmp_path / "images", tmp_path / "truth.json")
    truth = read_truth(tmp_path / "truth.json", "s3://b/")
    assert list(truth) == ["s3://b/000.png", "s3://b/001.png"]
    assert np.array_equal(truth["s3://b/000.png"][0], masks[0])


def test_an_object_that_left_no_mask_cost_every_click() -> None:
    truth = {"s3://b/1": [np.ones((2, 2), np.bool_)] * 2, "s3://b/0": [np.ones((2, 2), np.bool_)]}
    found = counted([stored("s3://b/1", 3), stored("s3://b/0", 1, "rejected")], truth, most=10, asked=True)
    assert found.pictures == [[(1, False)], [(3, True), (10, False)]]
    shown = found.intervals()
    assert shown["clicks"].value == pytest.approx(14 / 3) and shown["accepted"].value == pytest.approx(1 / 3)
    assert (shown["clicks"].low, shown["clicks"].high) == (1, 6.5)


def test_the_report_says_whether_the_clicks_fell() -> None:
    plan = replace(Plan(), rounds=1)
    before, fewer, other = [[9, 7], [6], [8, 5]], [[4, 3], [2], [5, 3]], [[9, 8], [6], [7, 5]]
    fell, same = (figures([measured(0, before), measured(1, after)], plan) for after in (fewer, other))
    assert fell["falls"] and not same["falls"]
    row = fell["rounds"][1]
    assert row["check_minus_shipped"]["value"] == pytest.approx(17 / 5 - 7) and row["assisted"] is None
    assert "| after round 1 | 3.40 (2.00 to 4.00) | -3.60" in table(fell)
    assert "after round 1" in svg(fell)
    assert Clicks([[(1, True)]]).minus(Clicks([[(1, True)]])).value == 0


def test_a_folder_keeps_to_its_run(tmp_path: Path) -> None:
    Folder(tmp_path).begin(Plan())
    Folder(tmp_path).begin(Plan())
    with pytest.raises(OtherRun, match="other settings"):
        Folder(tmp_path).begin(Plan(steps=1))
