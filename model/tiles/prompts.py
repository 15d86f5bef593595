"""Prompts of an image → prompts of its windows.

A prompt goes to one window if one shows all of it: the one in whose middle it lies. Else each window that its box
touches gets the box as far as it goes, or each of its points goes to the window in whose middle that lies. Points go
along to every window that shows them.
"""

from collections.abc import Sequence
from dataclasses import replace
from itertools import product
from typing import Final, Literal, NamedTuple

from model.spec import Box, Point, Prompt
from model.tiles.grid import Axis, Grid, Window

MOST_PARTS: Final = 100_000
"""Of all prompts of an image together. A part is a prompt in one window."""


class TooManyParts(ValueError):
    """The prompts of an image have more than `MOST_PARTS` parts in its windows."""


class _Place(NamedTuple):
    """A window by its number. In order they are row by row."""

    row: int
    column: int


def prompts_of_windows(grid: Grid, prompts: Sequence[Prompt]) -> dict[Window, list[Prompt]]:
    """The windows that have something to answer, row by row. Prompts are fitted (`model.tasks.bounds`), without masks.

    Every prompt has its own `multimask` set, because its parts have fewer points. Raises TooManyParts.
    """
    placed: list[tuple[Prompt, list[_Place]]] = []
    left = MOST_PARTS
    for prompt in prompts:
        placed.append((prompt, _places(grid, prompt)))
        left -= len(placed[-1][1])
        if left < 0:
            raise TooManyParts
    found: dict[_Place, list[Prompt]] = {}
    for prompt, places in placed:
        shown = _shown(grid, prompt)
        for place in places:
            found.setdefault(place, []).append(_part(grid.window(*place), prompt, shown.get(place, [])))
    return {grid.window(*place): found[place] for place in sorted(found)}


def _places(grid: Grid, prompt: Prompt) -> list[_Place]:
    extent = _extent(prompt)
    around = _holding(grid, extent)
    if around:
        return [_middle(grid, around, extent)]
    return _of_points(grid, prompt) if prompt.box is None else _of_box(grid, prompt.box)


def _of_box(grid: Grid, box: Box) -> list[_Place]:
    """The windows that the box touches, but those that show nothing of it that another one does not show too."""
    rows, columns = _needed(grid.down, box[1], box[3]), _needed(grid.across, box[0], box[2])
    return [_Place(*place) for place in product(rows, columns)]


def _needed(axis: Axis, low: float, high: float) -> range:
    """Only the first and the last can show nothing that is their own."""
    touched = axis.touching(low, high)
    if len(touched) > 1 and low >= axis.start(touched[1]):
        touched = touched[1:]
    if len(touched) > 1 and high <= axis.start(touched[-2]) + axis.length:
        touched = touched[:-1]
    return touched


def _of_points(grid: Grid, prompt: Prompt) -> list[_Place]:
    """The windows of the points that show what is meant. A point on the background alone asks for nothing."""
    given = list(zip(prompt.points, prompt.labels, strict=True))
    asking = [point for point, label in given if label == 1] or [point for point, _ in given]
    return sorted({_middle(grid, _holding(grid, (*point, *point)), (*point, *point)) for point in asking})


def _extent(prompt: Prompt) -> Box:
    corners = [*prompt.points, *([] if prompt.box is None else [prompt.box[:2], prompt.box[2:]])]
    x, y = [corner[0] for corner in corners], [corner[1] for corner in corners]
    return min(x), min(y), max(x), max(y)


def _holding(grid: Grid, extent: Box) -> list[_Place]:
    """The windows that show all of it, row by row."""
    rows, columns = grid.down.holding(extent[1], extent[3]), grid.across.holding(extent[0], extent[2])
    return [_Place(*place) for place in product(rows, columns)]


def _middle(grid: Grid, places: Sequence[_Place], extent: Box) -> _Place:
    """The window whose middle is nearest to that of the extent."""
    x, y = (extent[0] + extent[2]) / 2, (extent[1] + extent[3]) / 2

    def away(place: _Place) -> float:
        window = grid.window(*place)
        return (window.x + window.width / 2 - x) ** 2 + (window.y + window.height / 2 - y) ** 2

    return min(places, key=away)


def _shown(grid: Grid, prompt: Prompt) -> dict[_Place, list[tuple[Point, Literal[0, 1]]]]:
    """The points that each window shows, with their labels."""
    shown: dict[_Place, list[tuple[Point, Literal[0, 1]]]] = {}
    for point, label in zip(prompt.points, prompt.labels, strict=True):
        for place in _holding(grid, (*point, *point)):
            shown.setdefault(place, []).append((point, label))
    return shown


def _part(window: Window, prompt: Prompt, shown: Sequence[tuple[Point, Literal[0, 1]]]) -> Prompt:
    """The prompt as a window shows it, in the window's pixels."""
    return replace(
        prompt,
        points=tuple((x - window.x, y - window.y) for (x, y), _ in shown),
        labels=tuple(label for _, label in shown),
        box=None if prompt.box is None else _clipped(window, prompt.box),
        multimask=prompt.three_masks,
    )


def _clipped(window: Window, box: Box) -> Box:
    x0, y0 = max(box[0] - window.x, 0.0), max(box[1] - window.y, 0.0)
    return x0, y0, min(box[2] - window.x, float(window.width)), min(box[3] - window.y, float(window.height))
