"""Prompts of an image → prompts of its windows.

A prompt goes to one window if one shows all of it: the one in whose middle it lies. Else each window that its box
touches gets the box as far as it goes, or each of its points goes to the window in whose middle that lies. Points go
along to every window that shows them.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from model.spec import Box, Point, Prompt
from model.tiles.grid import Grid, Window


def prompts_of_windows(grid: Grid, prompts: Sequence[Prompt]) -> dict[Window, list[Prompt]]:
    """The windows that have something to answer, row by row. Prompts are fitted (`model.tasks.bounds`), without masks.

    Every prompt has its own `multimask` set, because its parts have fewer points.
    """
    windows = [window for row in range(grid.rows) for window in grid.row(row)]
    found: dict[Window, list[Prompt]] = {window: [] for window in windows}
    for prompt in prompts:
        for window, part in _parts(windows, prompt):
            found[window].append(part)
    return {window: parts for window, parts in found.items() if parts}


def _parts(windows: Sequence[Window], prompt: Prompt) -> Iterator[tuple[Window, Prompt]]:
    extent = _extent(prompt)
    around = [w for w in windows if _holds(w, extent)]
    if around:
        yield _part(_middle(around, extent), prompt)
    elif prompt.box is not None:
        yield from (_part(window, prompt) for window in _of_box(windows, prompt.box))
    else:
        yield from (_part(window, prompt) for window in _of_points(windows, prompt))


def _of_box(windows: Sequence[Window], box: Box) -> list[Window]:
    """The windows that the box touches, but those that show nothing of it that another one does not show too."""
    seen = {w: _clipped(w, box) for w in windows if _touches(w, box)}
    needed = dict(seen)
    for window, (x0, y0, x1, y1) in seen.items():
        part = x0 + window.x, y0 + window.y, x1 + window.x, y1 + window.y
        if any(_holds(other, part) for other in needed if other is not window):
            del needed[window]
    return list(needed)


def _of_points(windows: Sequence[Window], prompt: Prompt) -> list[Window]:
    """The windows of the points that show what is meant. A point on the background alone asks for nothing."""
    given = list(zip(prompt.points, prompt.labels, strict=True))
    asking = [point for point, label in given if label == 1] or [point for point, _ in given]
    chosen = {_middle([w for w in windows if _shows(w, point)], (*point, *point)) for point in asking}
    return [window for window in windows if window in chosen]


def _extent(prompt: Prompt) -> Box:
    corners = [*prompt.points, *([] if prompt.box is None else [prompt.box[:2], prompt.box[2:]])]
    x, y = [corner[0] for corner in corners], [corner[1] for corner in corners]
    return min(x), min(y), max(x), max(y)


def _middle(windows: Sequence[Window], extent: Box) -> Window:
    """The window whose middle is nearest to that of the extent."""
    x, y = (extent[0] + extent[2]) / 2, (extent[1] + extent[3]) / 2
    return min(windows, key=lambda w: (w.x + w.width / 2 - x) ** 2 + (w.y + w.height / 2 - y) ** 2)


def _holds(window: Window, box: Box) -> bool:
    return window.x <= box[0] and window.y <= box[1] and box[2] <= window.right and box[3] <= window.bottom


def _shows(window: Window, point: Point) -> bool:
    return window.x <= point[0] <= window.right and window.y <= point[1] <= window.bottom


def _touches(window: Window, box: Box) -> bool:
    return _meet(window.x, window.right, box[0], box[2]) and _meet(window.y, window.bottom, box[1], box[3])


def _meet(start: int, end: int, low: float, high: float) -> bool:
    return max(start, low) < min(end, high) or (low == high and start <= low <= end)


def _part(window: Window, prompt: Prompt) -> tuple[Window, Prompt]:
    """The prompt as a window shows it, in the window's pixels."""
    inside = [
        ((x - window.x, y - window.y), label)
        for (x, y), label in zip(prompt.points, prompt.labels, strict=True)
        if _shows(window, (x, y))
    ]
    return window, replace(
        prompt,
        points=tuple(point for point, _ in inside),
        labels=tuple(label for _, label in inside),
        box=None if prompt.box is None else _clipped(window, prompt.box),
        multimask=prompt.three_masks,
    )


def _clipped(window: Window, box: Box) -> Box:
    x0, y0 = max(box[0] - window.x, 0.0), max(box[1] - window.y, 0.0)
    return x0, y0, min(box[2] - window.x, float(window.width)), min(box[3] - window.y, float(window.height))
