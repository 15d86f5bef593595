"""Fit prompts to an image of a given size. Torch-free.

A point may lie on the outer edge (x = width, y = height). A box that reaches out of the image is clipped. A box that
does not meet the image fails: on each axis the two must share a length, or the box must have no length there and lie
on or inside the edge. A mask given as RLE must have the image's size; one given as logits, the model's.
"""

from collections.abc import Collection
from dataclasses import dataclass, replace

import numpy as np

from model.errors import PromptOutOfBounds, TaskNotServed
from model.spec import Box, BoxFormat, Exemplar, Prompt, Prompted, Task, Text, corners, how_read


@dataclass(frozen=True)
class Note:
    """A message about one prompt, or about an exemplar, which has no id."""

    prompt_id: str | None
    detail: str


@dataclass(frozen=True)
class Fitted:
    """A task that fits its image.

    `task`: without the prompts that do not fit, and with boxes as x0, y0, x1, y1; None where no prompt is left.
    `clipped`: prompts whose box was clipped. `failed`: prompts that are left out.
    """

    task: Task | None
    clipped: tuple[Note, ...]
    failed: tuple[Note, ...]


def check_served(task: Task, served: Collection[str]) -> None:
    """Raise TaskNotServed unless a segmenter that serves these tasks can do this one."""
    if task.type not in served:
        raise TaskNotServed(f"this worker serves {', '.join(served)}, not {task.type}")
    if isinstance(task, Text) and task.exemplars and "text_exemplars" not in served:
        raise TaskNotServed("this worker's model for text finds things by words alone and takes no exemplars")


def fit(task: Task, height: int, width: int, mask_size: int | None = None) -> Fitted:
    """Check prompts against an image of height x width pixels, and their logits against (1, mask_size, mask_size).

    A task without prompts fits every image.
    """
    if isinstance(task, Text):
        return _fit_exemplars(task, height, width)
    if not isinstance(task, Prompted):
        return Fitted(task, (), ())
    kept: list[Prompt] = []
    clipped: list[Note] = []
    failed: list[Note] = []
    for prompt in task.prompts:
        box = None if prompt.box is None else corners(prompt.box, task.box_format)
        inside = None if box is None else _cut(box, height, width)
        problem = _problem(prompt, height, width, mask_size)
        if problem is None and prompt.box is not None and inside is None:
            problem = _outside(prompt.box, task.box_format, height, width)
        if problem is not None:
            failed.append(Note(prompt.id, problem))
            continue
        if box is not None and inside is not None and inside != box:
            clipped.append(Note(prompt.id, _clipped(box, inside)))
        kept.append(prompt if inside == prompt.box else replace(prompt, box=inside))
    fitted = Prompted(tuple(kept)) if kept else None
    return Fitted(fitted, tuple(clipped), tuple(failed))


def _fit_exemplars(task: Text, height: int, width: int) -> Fitted:
    """The phrases fit every image. An exemplar whose box does not is left out."""
    kept: list[Exemplar] = []
    clipped: list[Note] = []
    failed: list[Note] = []
    for i, exemplar in enumerate(task.exemplars):
        box = corners(exemplar.box, task.box_format)
        inside = _cut(box, height, width)
        if inside is None:
            failed.append(Note(None, f"exemplar {i}: {_outside(exemplar.box, task.box_format, height, width)}"))
            continue
        if inside != box:
            clipped.append(Note(None, f"exemplar {i}: {_clipped(box, inside)}"))
        kept.append(replace(exemplar, box=inside))
    return Fitted(replace(task, exemplars=tuple(kept), box_format="xyxy"), tuple(clipped), tuple(failed))


def fit_all(task: Task, height: int, width: int, mask_size: int | None = None) -> Task:
    """As `fit`, but raise PromptOutOfBounds if any prompt does not fit."""
    fitted = fit(task, height, width, mask_size)
    if fitted.task is None or fitted.failed:
        raise cannot_be_answered(fitted)
    return fitted.task


def cannot_be_answered(fitted: Fitted) -> PromptOutOfBounds:
    """The error that names the failed prompts."""
    return PromptOutOfBounds("; ".join(_named(note) for note in fitted.failed))


def _named(note: Note) -> str:
    return note.detail if note.prompt_id is None else f"prompt {note.prompt_id!r}: {note.detail}"


def _problem(prompt: Prompt, height: int, width: int, mask_size: int | None) -> str | None:
    """Why a prompt's points or mask do not fit the image."""
    for x, y in prompt.points:
        if not (0 <= x <= width and 0 <= y <= height):
            return f"point {_shown(x, y)} lies outside {_area(height, width)}"
    mask = prompt.mask
    if isinstance(mask, np.ndarray):
        wrong = mask_size is not None and mask.shape != (1, mask_size, mask_size)
        return f"mask logits are {mask.shape}, this model's are {(1, mask_size, mask_size)}" if wrong else None
    if mask is not None and mask["size"] != [height, width]:
        return f"the mask's size is {mask['size']}, the image's is {[height, width]} (height, width)"
    return None


def _cut(box: Box, height: int, width: int) -> Box | None:
    """A box clipped to the image; None where they do not meet."""
    x = _cut_span(box[0], box[2], width)
    y = _cut_span(box[1], box[3], height)
    return None if x is None or y is None else (x[0], y[0], x[1], y[1])


def _cut_span(low: float, high: float, end: int) -> tuple[float, float] | None:
    first, last = max(low, 0.0), min(high, float(end))
    return (first, last) if first < last or (first == last and low == high) else None


def _outside(box: Box, box_format: BoxFormat, height: int, width: int) -> str:
    return f"box {_shown(*box)} lies outside {_area(height, width)}: {how_read(box_format)}"


def _clipped(box: Box, inside: Box) -> str:
    return f"box {_shown(*box)} was clipped to {_shown(*inside)} (x0, y0, x1, y1)"


def _area(height: int, width: int) -> str:
    return f"the image, where x goes from 0 to {width} and y from 0 to {height}"


def _shown(*numbers: float) -> str:
    """The numbers with all their digits: 300.00003 must not read as 300."""
    return f"({', '.join(repr(float(v)).removesuffix('.0') for v in numbers)})"
