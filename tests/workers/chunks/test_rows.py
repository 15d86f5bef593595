"""What an outcome writes into its result row."""

from types import SimpleNamespace
from typing import Any, cast
from uuid import uuid4

from db.states import ItemReason, WarningCode
from workers.chunks.rows import result_row
from workers.failures import Failure
from workers.pipeline.ticket import Done, Failed, Model, warning

MODEL = cast(Model, SimpleNamespace(name="m", revision="r", precision="exact"))


def row(outcome: Done | Failed) -> dict[str, Any]:
    return result_row(uuid4(), 1, 1, MODEL, outcome)


def test_frames_and_warnings_reach_the_row() -> None:
    said = [warning(WarningCode.FRAMES_IGNORED, "3 frames"), warning(WarningCode.BOX_CLIPPED, "cut", "p1")]
    found = row(Done(0, 4, 5, 1, [], {}, frames=3, warnings=said))
    assert found["frames"] == 3
    assert found["warnings"] == [
        {"code": "FRAMES_IGNORED", "detail": "3 frames", "prompt_id": None},
        {"code": "BOX_CLIPPED", "detail": "cut", "prompt_id": "p1"},
    ]


def test_an_item_without_warnings_has_none() -> None:
    assert row(Done(0, 4, 5, 1, [], {}, frames=1))["warnings"] is None


def test_both_kinds_of_rows_have_the_same_columns() -> None:
    failed = row(Failed(0, Failure(ItemReason.DECODE_FAILED, "x", retryable=False), {}))
    assert failed.keys() == row(Done(0, 4, 5, 1, [], {})).keys()
    assert failed["frames"] is None and failed["warnings"] is None
