"""Valid and invalid tasks, and the errors of the latter."""

from typing import Any

import numpy as np
import pytest
from pydantic import TypeAdapter, ValidationError

from model.masks import rle
from model.sizes import SIZES
from model.spec import MAX_PROMPTS, TASK, Automatic, Prompt, Prompted


def test_as_the_contract_shows_it() -> None:
    assert Automatic(points_per_side=16).points_per_side == 16
    task = Prompted((Prompt(id="p", points=((500, 375),), labels=(1,)),))
    assert task.prompts[0].points == ((500.0, 375.0),)
    assert task.type == "prompted" and Automatic().type == "auto"


def test_tasks_from_json() -> None:
    mask = rle.encode(np.eye(3, dtype=bool))
    prompt = {"id": "p1", "points": [[1, 2]], "labels": [1], "box": [0, 0, 3, 3], "mask": mask, "multimask": True}
    task = TASK.validate_python({"type": "prompted", "prompts": [prompt]})
    assert isinstance(task, Prompted) and task.prompts[0].mask == mask
    assert TASK.validate_json(TASK.dump_json(task)) == task
    assert isinstance(TASK.validate_python({"type": "auto", "crop_n_layers": 1}), Automatic)


REFUSED: list[tuple[dict[str, Any], tuple[Any, ...]]] = [
    ({"type": "auto", "points_per_side": 0}, ("points_per_side",)),
    ({"type": "auto", "points_per_side": 129}, ("points_per_side",)),
    ({"type": "auto", "pred_iou_thresh": float("nan")}, ("pred_iou_thresh",)),
    ({"type": "auto", "max_masks": 0}, ("max_masks",)),
    ({"type": "auto", "unknown": 1}, ("unknown",)),
    ({"type": "auto", "point_grids": [[[0.5, 1.5]]]}, ("point_grids", 0, 0, 1)),
    ({"type": "prompted", "prompts": []}, ("prompts",)),
    ({"type": "prompted", "prompts": [{}]}, ("prompts", 0)),
    ({"type": "prompted", "prompts": [{"points": [[1, 2]], "labels": [1, 0]}]}, ("prompts", 0, "labels")),
    ({"type": "prompted", "prompts": [{"points": [[1, 2]], "labels": [-1]}]}, ("prompts", 0, "labels", 0)),
    ({"type": "prompted", "prompts": [{"points": [[1, float("inf")]], "labels": [1]}]}, ("prompts", 0, "points", 0, 1)),
    ({"type": "prompted", "prompts": [{"box": [5, 0, 4, 9]}]}, ()),
    ({"type": "prompted", "box_format": "xywh", "prompts": [{"box": [5, 0, -1, 9]}]}, ()),
    ({"type": "prompted", "box_format": "xywh", "prompts": [{"box": [9e5, 0, 9e5, 9]}]}, ()),
    ({"type": "prompted", "box_format": "yxyx", "prompts": [{"box": [5, 0, 9, 9]}]}, ("box_format",)),
    ({"type": "prompted", "prompts": [{"box": [5, 0, 4]}]}, ("prompts", 0, "box", 3)),
    ({"type": "prompted", "prompts": [{"mask": {"size": [2, 2], "counts": "1"}}]}, ("prompts", 0, "mask")),
    ({"type": "prompted", "prompts": [{"mask": {"size": [2], "counts": "4"}}]}, ("prompts", 0, "mask")),
    ({"type": "prompted", "prompts": [{"mask": {"size": [2, 2]}}]}, ("prompts", 0, "mask", "counts")),
    ({"type": "prompted", "prompts": [{"box": [0, 0, 1, 1], "colour": 1}]}, ("prompts", 0, "colour")),
]


@pytest.mark.parametrize(("body", "place"), REFUSED, ids=lambda v: str(v)[:60])
def test_refusals_point_to_the_field(body: dict[str, Any], place: tuple[Any, ...]) -> None:
    with pytest.raises(ValidationError) as refusal:
        TASK.validate_python(body)
    assert [error["loc"][1:] for error in refusal.value.errors()] == [place]


@pytest.mark.parametrize(("box_format", "other"), [("xyxy", "xywh"), ("xywh", "xyxy")])
def test_a_refused_box_says_how_it_was_read(box_format: str, other: str) -> None:
    with pytest.raises(ValidationError, match=f"'p'.*read as {box_format}.*set task.box_format to \"{other}\""):
        TASK.validate_python(
            {"type": "prompted", "box_format": box_format, "prompts": [{"id": "p", "box": [5, 9, 4, -1]}]}
        )


def test_unknown_type() -> None:
    with pytest.raises(ValidationError, match="tag"):
        TASK.validate_python({"type": "everything"})


def test_caps_and_ids() -> None:
    box = Prompt(box=(0, 0, 1, 1))
    assert [p.id for p in Prompted((box, box)).prompts] == ["0", "1"]
    with pytest.raises(ValidationError, match="unique"):
        Prompted((Prompt(id="1", box=(0, 0, 1, 1)), Prompt(box=(0, 0, 1, 1))))
    with pytest.raises(ValidationError, match="1024"):
        Prompted((box,) * (MAX_PROMPTS + 1))


def test_multimask_defaults() -> None:
    assert Prompt(points=((1, 1),), labels=(1,)).three_masks
    assert not Prompt(points=((1, 1),), labels=(1,), multimask=False).three_masks
    assert not Prompt(points=((1, 1),), labels=(1,), box=(0, 0, 1, 1)).three_masks
    assert not Prompt(points=((1, 1), (2, 2)), labels=(1, 0)).three_masks
    assert Prompt(box=(0, 0, 1, 1), multimask=True).three_masks


def test_logits_as_a_mask_prompt() -> None:
    prompt = TypeAdapter(Prompt)
    logits = prompt.validate_python({"mask": np.zeros((1, 256, 256))}).mask
    assert isinstance(logits, np.ndarray) and logits.dtype == np.float32
    for wrong in (np.zeros((256, 256)), np.full((1, 4, 4), np.nan)):
        with pytest.raises(ValidationError):
            prompt.validate_python({"mask": wrong})


def test_frozen() -> None:
    with pytest.raises(AttributeError):
        Automatic().points_per_side = 3  # type: ignore[misc]


def test_resolved_takes_the_rows_defaults() -> None:
    row = SIZES["sam_vit_b"].automatic
    task = Automatic(points_per_side=7).resolved(row)
    assert task.points_per_side == 7
    assert (task.pred_iou_thresh, task.stability_score_thresh, task.points_per_batch) == (0.88, 0.95, 64)
    assert task.crop_overlap_ratio == 512 / 1500
    assert task.max_masks is None
    assert task.resolved(row) == task
