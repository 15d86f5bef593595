"""The passes of `cells` as compiled loops: the same arithmetic in the same order, so results are equal, bit for bit.

A cell in doubt is interpolated as soon as it is found. Of one mask nothing is stored but a byte for each cell.

`logits` is finite float32 (N, h, w). An axis is `Axis.packed`. The loops are written so that LLVM makes vector
operations of them: arrays of one row each, fixed offsets, no stores beside a reduction.
"""

import numpy as np
from numpy.typing import NDArray

from model.jit import compiled
from model.masks.axis import Floats, Ints, Packed

Bytes = NDArray[np.uint8]


@compiled
def count(
    logits: Floats, y: Packed, x: Packed, offset: np.float32, first: int, last: int, high: Ints, low: Ints
) -> None:
    """Pixels > +offset and > −offset of the masks from `first` to `last`, into `high` and `low` (N,)."""
    least, most, flags = _buffers(logits, y, x)
    lines = np.empty((3, x[3].shape[2]), np.float32)
    rows, columns, doubtful = y[2], x[2], np.empty(len(x[2]), np.int64)
    for n in range(first, last):
        above, below = 0, 0
        for k in range(len(rows)):
            _bounds(logits[n], y, x, k, least, most)
            sure_above, sure_below = _decide(least, most, offset, columns, flags[0])
            above += sure_above * rows[k]
            below += sure_below * rows[k]
            for c in doubtful[: _listed(flags[0], doubtful)]:
                _lines(logits[n], y, x, k, c, lines)
                for v in range(rows[k]):
                    above += _count(y[3][k], v, lines, offset)
                    below += _count(y[3][k], v, lines, -offset)
                if offset > 0:  # what lies beyond the cell reads 0
                    below -= rows[k] * (lines.shape[1] - columns[c])
        high[n], low[n] = above, below


@compiled
def box(logits: Floats, y: Packed, x: Packed, first: int, last: int, boxes: Ints) -> None:
    """x0, y0, x1, y1 of logit > 0 of the masks from `first` to `last`, into `boxes` (N, 4): zeros for an empty mask.

    A cell in doubt within the box of what was found already cannot make it larger.
    """
    least, most, flags = _buffers(logits, y, x)
    lines = np.empty((3, x[3].shape[2]), np.float32)
    height, width = y[1][-1] + y[2][-1], x[1][-1] + x[2][-1]
    for n in range(first, last):
        _classify(logits[n], y, x, least, most, flags)
        x0, y0, x1, y1 = width, height, -1, -1
        for sure in (True, False):
            for k in range(len(y[2])):
                top, bottom = y[1][k], y[1][k] + y[2][k] - 1
                for c in range(len(x[2])):
                    left, right = x[1][c], x[1][c] + x[2][c] - 1
                    within = top >= y0 and bottom <= y1 and left >= x0 and right <= x1
                    if flags[k, c] == 0 or within or (flags[k, c] == 2) == sure:
                        continue
                    if sure:
                        x0, y0, x1, y1 = min(x0, left), min(y0, top), max(x1, right), max(y1, bottom)
                        continue
                    _lines(logits[n], y, x, k, c, lines)
                    for v in range(y[2][k]):
                        for u in range(x[2][c]):
                            if _pixel(y[3][k], v, lines, u) > 0:
                                x0, y0 = min(x0, left + u), min(y0, top + v)
                                x1, y1 = max(x1, left + u), max(y1, top + v)
        if x1 < 0:
            x0, y0, x1, y1 = 0, 0, 0, 0
        boxes[n, 0], boxes[n, 1], boxes[n, 2], boxes[n, 3] = x0, y0, x1, y1


@compiled
def changes(logits: Floats, y: Packed, x: Packed, n: int, found: Ints) -> int:
    """Column-major positions where logit > 0 changes in mask `n`, from outside before the first pixel, into `found`.

    Returns their number. Where that is more than `found` holds, the last ones are left out.
    """
    least, most, flags = _buffers(logits, y, x)
    lines = np.empty((3, x[3].shape[2]), np.float32)
    _classify(logits[n], y, x, least, most, flags)
    bits = np.empty((len(y[2]), x[3].shape[2], y[3].shape[2]), np.uint8)
    height, size, on = y[1][-1] + y[2][-1], 0, 0
    for c in range(len(x[2])):
        for k in range(len(y[2])):
            if flags[k, c] == 2:
                _lines(logits[n], y, x, k, c, lines)
                for v in range(y[2][k]):
                    for u in range(x[2][c]):
                        bits[k, u, v] = _pixel(y[3][k], v, lines, u) > 0
        for u in range(x[2][c]):
            for k in range(len(y[2])):
                for v in range(1 if flags[k, c] < 2 else y[2][k]):
                    now = flags[k, c] if flags[k, c] < 2 else bits[k, u, v]
                    if now != on:
                        if size < len(found):
                            found[size] = (x[1][c] + u) * height + y[1][k] + v
                        size += 1
                        on = now
    return size


@compiled
def _buffers(logits: Floats, y: Packed, x: Packed) -> tuple[Floats, Floats, Bytes]:
    """For the bounds of a row of cells, with room behind them; and a byte for each cell of a mask."""
    width = max(logits.shape[2], len(x[0])) + 2
    return np.empty(width, np.float32), np.empty(width, np.float32), np.empty((len(y[2]), len(x[2])), np.uint8)


@compiled
def _bounds(values: Floats, y: Packed, x: Packed, k: int, least: Floats, most: Floats) -> None:
    """The least and the greatest value of each cell of row `k`."""
    top, bottom = y[0][k], values.shape[0] - 1
    _down(values[top], values[min(top + 1, bottom)], values[min(top + 2, bottom)], least, most)
    _across(x[0], least, most)


@compiled
def _down(first: Floats, second: Floats, third: Floats, least: Floats, most: Floats) -> None:
    """Of three rows, and twice more of the last value."""
    width = len(first)
    for i in range(width):
        a, b, c = first[i], second[i], third[i]
        small, large = (a, b) if a < b else (b, a)
        least[i] = small if small < c else c
        most[i] = large if large > c else c
    for i in range(width, width + 2):
        least[i], most[i] = least[width - 1], most[width - 1]


@compiled
def _across(base: Ints, least: Floats, most: Floats) -> None:
    """Of the three values from each base on. Bases ascend, so a result can take the place of its values."""
    cells = len(base)
    if base[cells - 1] == cells - 1:
        for i in range(cells):
            a, b, c = least[i], least[i + 1], least[i + 2]
            small = a if a < b else b
            least[i] = small if small < c else c
            a, b, c = most[i], most[i + 1], most[i + 2]
            large = a if a > b else b
            most[i] = large if large > c else c
        return
    for i in range(cells):
        at = base[i]
        least[i] = min(least[at], least[at + 1], least[at + 2])
        most[i] = max(most[at], most[at + 1], most[at + 2])


@compiled
def _decide(least: Floats, most: Floats, offset: np.float32, columns: Ints, in_doubt: Bytes) -> tuple[int, int]:
    """Pixels of a row of cells that are > +offset and > −offset for sure, a row of pixels at a time."""
    above, below = 0, 0
    for c in range(len(columns)):
        over, under = least[c] > offset, least[c] > -offset
        decided = (over | (most[c] <= offset)) & (under | (most[c] <= -offset))
        in_doubt[c] = not decided
        above += columns[c] * (decided & over)
        below += columns[c] * (decided & under)
    return above, below


@compiled
def _listed(flags: Bytes, found: Ints) -> int:
    """The indexes of flags that are set, into `found`. Returns their number. A branch would be hard to predict."""
    size = 0
    for c in range(len(flags)):
        found[size] = c
        size += flags[c]
    return size


@compiled
def _classify(values: Floats, y: Packed, x: Packed, least: Floats, most: Floats, flags: Bytes) -> None:
    """Each cell: 0 outside, 1 inside, 2 in doubt."""
    for k in range(len(y[0])):
        _bounds(values, y, x, k, least, most)
        row = flags[k]
        for c in range(len(row)):
            row[c] = 2 * (most[c] > 0) - (least[c] > 0)


@compiled
def _lines(values: Floats, y: Packed, x: Packed, k: int, c: int, lines: Floats) -> None:
    """The cell's pixels along x, for each of its three rows of values: (3, R)."""
    across, at, right, bottom = x[3][c], x[0][c], values.shape[1] - 1, values.shape[0] - 1
    for j in range(3):
        row = values[min(y[0][k] + j, bottom)]
        first, second, third = row[at], row[min(at + 1, right)], row[min(at + 2, right)]
        for u in range(lines.shape[1]):
            lines[j, u] = across[0, u] * first + across[1, u] * second + across[2, u] * third


@compiled
def _pixel(down: Floats, v: int, lines: Floats, u: int) -> np.float32:
    value: np.float32 = down[0, v] * lines[0, u] + down[1, v] * lines[1, u] + down[2, v] * lines[2, u]
    return value


@compiled
def _count(down: Floats, v: int, lines: Floats, threshold: np.float32) -> np.int32:
    """Pixels > threshold in row `v` of a cell."""
    first, second, third = down[0, v], down[1, v], down[2, v]
    found = np.int32(0)
    for u in range(lines.shape[1]):
        found += np.int32(first * lines[0, u] + second * lines[1, u] + third * lines[2, u] > threshold)
    return found
