"""Prompts that do not fit their image, on the way through a worker: what fails, and what the item says."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from sqlalchemy import Engine, text

from model.backends.sam import Segmenter
from model.networks.layers import DeepMlp
from model.spec import Automatic, Prompt, Prompted
from tests.conftest import Bucket
from tests.jobs import check_invariants, picture, result_rows, submit
from workers.pipeline.prompts import empty_masks
from workers.worker import Worker

Start = Callable[..., Worker]
POINT = {"id": "good", "points": [[5, 5]], "labels": [1], "multimask": False}
FAR = {"id": "far", "points": [[40.0001, 5]], "labels": [1]}


@pytest.fixture
def answer(engine: Engine, bucket: Bucket, start_worker: Start) -> Callable[..., Any]:
    """Work off one item of 24 x 40 pixels with the given prompts; its result row and its masks."""

    def of(*prompts: dict[str, Any], **task: Any) -> tuple[Any, list[Any]]:
        image = bucket.put("a.png", picture(24, 40, kind="PNG"))
        job = submit(engine, [image], task={"type": "prompted", **task}, prompts=[list(prompts)])
        start_worker().segment_chunk(job, 0)
        check_invariants(engine, job)
        (row,) = result_rows(engine, job)
        with engine.connect() as connection:
            select = text("SELECT * FROM masks WHERE job_id = :job ORDER BY mask_id")
            return row, list(connection.execute(select, {"job": job}))

    return of


def test_a_box_of_a_detector_is_clipped_and_the_item_says_so(answer: Callable[..., Any]) -> None:
    row, (mask,) = answer({"id": "b", "box": [-0.3, 2, 40.6, 20]})
    assert row.state == "succeeded"
    assert (mask.x, mask.y, mask.w, mask.h) == (0, 2, 40, 18)
    detail = "box (-0.3, 2, 40.6, 20) was clipped to (0, 2, 40, 20) (x0, y0, x1, y1)"
    assert row.warnings == [{"code": "BOX_CLIPPED", "detail": detail, "prompt_id": "b"}]


def test_boxes_by_width_and_height(answer: Callable[..., Any]) -> None:
    row, (mask,) = answer({"id": "b", "box": [10, 2, 20, 5]}, box_format="xywh")
    assert (mask.x, mask.y, mask.w, mask.h) == (10, 2, 20, 5)
    assert row.warnings is None


def test_a_prompt_that_cannot_be_answered_fails_alone(answer: Callable[..., Any]) -> None:
    wrong_size = {"id": "mask", "mask": {"size": [2, 2], "counts": "4"}}
    row, masks = answer(FAR, POINT, {"id": "away", "box": [40, 0, 60, 9]}, wrong_size)
    assert row.state == "succeeded"
    assert [mask.prompt for mask in masks] == ["good"]
    assert [(w["code"], w["prompt_id"]) for w in row.warnings] == [
        ("PROMPT_FAILED", name) for name in ("far", "away", "mask")
    ]
    assert "(40.0001, 5)" in row.warnings[0]["detail"] and "read as xyxy" in row.warnings[1]["detail"]


def test_an_item_fails_where_no_prompt_is_left(answer: Callable[..., Any]) -> None:
    row, _ = answer(FAR, {"id": "away", "box": [40, 0, 60, 9]}, box_format="xywh")
    assert (row.state, row.reason, row.retryable) == ("failed", "PROMPT_OUT_OF_BOUNDS", False)
    assert "'far': point (40.0001, 5)" in row.detail
    assert "'away': box (40, 0, 60, 9)" in row.detail and "read as xywh" in row.detail


def test_empty_masks_are_flagged() -> None:
    """Logits of 0 everywhere are nowhere above the threshold."""
    segmenter = Segmenter.seeded("sam_tiny")
    image = np.zeros((20, 30, 3), np.uint8)
    task = Prompted((Prompt(id="p", points=((5, 5),), labels=(1,)), Prompt(id="q", box=(1, 1, 9, 9))))
    (before,) = segmenter.run([image], [task])
    with torch.no_grad():
        for network in segmenter.sam.mask_decoder.output_hypernetworks_mlps:
            assert isinstance(network, DeepMlp)
            for parameter in network.layers[-1].parameters():
                parameter.zero_()
    masks, automatic = segmenter.run([image] * 2, [task, Automatic(pred_iou_thresh=0.0, stability_score_thresh=0.0)])
    assert [w["prompt_id"] for w in empty_masks(before)] == [m.prompt_id for m in before if m.area == 0]
    assert [mask.area for mask in masks] == [0] * 4 and automatic == []
    assert empty_masks(masks) == [
        {"code": "EMPTY_MASK", "detail": "3 of 3 masks of this prompt have no pixel", "prompt_id": "p"},
        {"code": "EMPTY_MASK", "detail": "1 of 1 masks of this prompt have no pixel", "prompt_id": "q"},
    ]
