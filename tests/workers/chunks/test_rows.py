"""What an outcome writes into its result row."""

from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast
from uuid import uuid4

from db.statements.lease import Fence
from db.states import ItemReason, WarningCode
from model.masks.mask import Mask
from workers.chunks.rows import result_row
from workers.failures import Failure
from workers.pipeline.ticket import Done, Failed, Model, warning

MODEL = cast(Model, SimpleNamespace(name="m", revision_of=lambda task: f"r of {task}", precision="exact"))


def row(outcome: Done | Failed) -> dict[str, Any]:
    return result_row(Fence(uuid4(), 0, 1), 1, MODEL, "text", outcome)


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


def test_phrases_and_scores_stand_beside_the_masks() -> None:
    mask = Mask({"size": [1, 4], "counts": "04"}, [0, 0, 4, 1], 4, 0.5, 0.5, None, [0, 0, 4, 1])
    named = [replace(mask, phrase="a cat", score=0.75), replace(mask, phrase="a dog", score=0.5)]
    found = row(Done(0, 4, 5, 1, named, {}))
    assert (found["phrases"], found["scores"]) == (["a cat", "a dog"], [0.75, 0.5])
    assert found["model_revision"] == "r of text"
    assert row(Done(0, 4, 5, 1, [mask], {}))["phrases"] is None


def test_both_kinds_of_rows_have_the_same_columns() -> None:
    failed = row(Failed(0, Failure(ItemReason.DECODE_FAILED, "x", retryable=False), {}))
    assert failed.keys() == row(Done(0, 4, 5, 1, [], {})).keys()
    assert failed["frames"] is None and failed["warnings"] is None
