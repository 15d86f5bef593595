"""Prompts and the bounds of their image: clipped boxes, failed prompts, and messages."""

import numpy as np
import pytest

from model.errors import PromptOutOfBounds
from model.masks import rle
from model.spec import Box, BoxFormat, Prompt, Prompted
from model.tasks.bounds import fit, fit_all

HEIGHT, WIDTH = 40, 60


def fitted_box(box: Box, box_format: BoxFormat = "xyxy") -> tuple[Box | None, bool]:
    """The fitted box, or None where it fails, and whether it was clipped."""
    found = fit(Prompted((Prompt(id="b", box=box),), box_format=box_format), HEIGHT, WIDTH)
    assert [n.prompt_id for n in found.failed + found.clipped] in ([], ["b"])
    assert (found.task is None) == bool(found.failed)
    return (found.task.prompts[0].box if isinstance(found.task, Prompted) else None), bool(found.clipped)


@pytest.mark.parametrize(
    ("box", "asked"),
    [
        ((0, 0, 60, 40), (0, 0, 60, 40)),
        ((-0.3, 3, 60.6, 20), (0, 3, 60, 20)),
        ((-1e6, -1e6, 1e6, 1e6), (0, 0, 60, 40)),
        ((59.9, 39.9, 99, 99), (59.9, 39.9, 60, 40)),
        ((5, 5, 5, 5), (5, 5, 5, 5)),
        ((60, 0, 60, 40), (60, 0, 60, 40)),
        ((60, 40, 60, 40), (60, 40, 60, 40)),
        ((7, -5, 7, 50), (7, 0, 7, 40)),
        ((60, 0, 61, 40), None),
        ((-9, 0, 0, 40), None),
        ((-9, -9, -1, -1), None),
        ((61, 5, 61, 5), None),
        ((0, 40.001, 10, 41), None),
    ],
)
def test_boxes_that_meet_the_image_are_clipped(box: Box, asked: Box | None) -> None:
    assert fitted_box(box) == (asked, asked is not None and asked != box)


@pytest.mark.parametrize(
    ("box", "asked", "clipped"),
    [
        ((10, 5, 20, 30), (10, 5, 30, 35), False),
        ((-0.5, 5, 61, 30), (0, 5, 60, 35), True),
        ((10, 5, 0, 0), (10, 5, 10, 5), False),
        ((60, 5, 10, 10), None, False),
    ],
)
def test_boxes_by_width_and_height(box: Box, asked: Box | None, clipped: bool) -> None:
    assert fitted_box(box, "xywh") == (asked, clipped)


def test_what_is_left_is_given_as_corners() -> None:
    found = fit(Prompted((Prompt(id="b", box=(1, 2, 3, 4)),), box_format="xywh"), HEIGHT, WIDTH)
    assert isinstance(found.task, Prompted) and found.task.box_format == "xyxy"
    assert fit_all(found.task, HEIGHT, WIDTH) == found.task


@pytest.mark.parametrize(
    ("prompt", "said"),
    [
        (Prompt(points=((5, 5), (60.00003, 12)), labels=(1, 1)), "point (60.00003, 12) lies outside the image"),
        (Prompt(points=((0, -1e-9),), labels=(0,)), "point (0, -1e-09) lies outside"),
        (Prompt(points=((61, 0),), labels=(1,), box=(0, 0, 9, 9)), "point (61, 0) lies outside"),
        (Prompt(box=(60, 1, 70, 2)), 'box (60, 1, 70, 2) lies outside the image, where x goes from 0 to 60 '
         'and y from 0 to 40: read as xyxy (corner pairs); set task.box_format to "xywh" if'),
        (Prompt(mask=rle.encode(np.zeros((60, 40), bool))), "the mask's size is [60, 40], the image's is [40, 60]"),
        (Prompt(mask=np.zeros((1, 7, 7), np.float32)), "mask logits are (1, 7, 7), this model's are (1, 64, 64)"),
    ],
)  # fmt: skip
def test_a_prompt_that_cannot_be_answered_fails_alone(prompt: Prompt, said: str) -> None:
    good = Prompt(id="good", points=((60, 40),), labels=(1,))
    found = fit(Prompted((prompt, good)), HEIGHT, WIDTH, 64)
    assert found.task == Prompted((good,))
    assert [note.prompt_id for note in found.failed] == ["0"] and found.failed[0].detail.startswith(said)
    with pytest.raises(PromptOutOfBounds, match="'0'"):
        fit_all(Prompted((prompt, good)), HEIGHT, WIDTH, 64)


def test_masks_of_the_right_size_are_kept() -> None:
    task = Prompted((Prompt(mask=rle.encode(np.ones((40, 60), bool))), Prompt(mask=np.zeros((1, 64, 64), np.float32))))
    found = fit(task, HEIGHT, WIDTH, 64)
    assert isinstance(found.task, Prompted) and len(found.task.prompts) == 2 and not found.failed


def test_a_clipped_box_says_both() -> None:
    (note,) = fit(Prompted((Prompt(id="b", box=(-0.3, 3, 60.6, 20)),)), HEIGHT, WIDTH).clipped
    assert note.detail == "box (-0.3, 3, 60.6, 20) was clipped to (0, 3, 60, 20) (x0, y0, x1, y1)"
