"""Full-size masks from low-resolution logits. Only pixels in doubt are interpolated. This is the CPU's path.

The reference upsamples logits twice, both bilinear: low → S, then, without the padding, → original size. Along each
axis the two steps together take at most three neighbouring low-resolution values. The weights are ≥ 0 and add up to 1.
So original pixels fall into cells that share their 3x3 values.

A cell is decided without interpolation where its least value is above the threshold, or its greatest is not. The
other cells, those along outlines, are interpolated. Memory holds the bits of one mask at a time, and only for the
rows and columns that the mask may reach.

numpy and torch share the memory: numpy compares faster, torch multiplies and adds in one step.
"""

from collections.abc import Iterator
from copy import copy
from dataclasses import dataclass
from functools import reduce

import numpy as np
import torch
from numpy.typing import NDArray

from model.masks import rle
from model.masks.axis import TAPS, Axis, Floats, Ints, axis_of
from model.masks.frames import Frame
from model.masks.rle import Runs

BLOCK = 1 << 18  # pixels interpolated at a time: 1 MB of float32 stays in the second-level cache
Bits = NDArray[np.bool_]


@dataclass(frozen=True)
class Doubtful:
    """C cells in the order of their masks: mask, row and column of each, and the logits of its pixels (Ry, Rx, C)."""

    mask: Ints
    row: Ints
    column: Ints
    logits: Floats


class Cells:
    """N logits, float32 (N, low, low), seen through one frame; `step` is (side, low).

    Give few at a time: their bounds take as much memory again.
    """

    def __init__(self, logits: Floats, frame: Frame, step: tuple[int, int]) -> None:
        self.height, self.width = frame.size
        self.y = axis_of(frame.resized[0], self.height, step)
        self.x = axis_of(frame.resized[1], self.width, step)
        self.padded = np.pad(logits, ((0, 0), (0, TAPS - 1), (0, TAPS - 1)), mode="edge")
        self.least = self._window(np.minimum)
        self.most = self._window(np.maximum)

    def chosen(self, index: Ints) -> "Cells":
        """Some of the masks, their bounds included."""
        some = copy(self)
        some.padded, some.least, some.most = self.padded[index], self.least[index], self.most[index]
        return some

    def _window(self, pick: np.ufunc) -> Floats:
        """Each cell's least or greatest value: (N, Ky, Kx)."""
        down, across = TAPS, TAPS
        height, width = (n - TAPS + 1 for n in self.padded.shape[1:])
        rows = reduce(pick, (self.padded[:, j : j + height] for j in range(down)))
        rows = _bases(rows, 1, self.y.base)
        return _bases(reduce(pick, (rows[..., i : i + width] for i in range(across))), 2, self.x.base)

    def counts(self, offset: float) -> tuple[Ints, Ints]:
        """Pixels with logit > +offset, and > −offset: (N,) each."""
        above, below = self.least > offset, self.least > -offset
        decided = (above | (self.most <= offset)) & (below | (self.most <= -offset))
        high, low = self._pixels(above & decided), self._pixels(below & decided)
        for part in self._doubtful(~decided):
            spare = part.logits.shape[0] * part.logits.shape[1] - self.y.count[part.row] * self.x.count[part.column]
            low_here = _count(part.logits > -offset) - (
                spare if offset > 0 else 0
            )  # pixels beyond the cell read 0, which is > -offset
            high += np.bincount(part.mask, _count(part.logits > offset), len(high)).astype(np.int64)
            low += np.bincount(part.mask, low_here, len(low)).astype(np.int64)
        return high, low

    def boxes(self) -> Ints:
        """(N, 4) x0, y0, x1, y1 of logit > 0, inclusive; zeros for an empty mask."""
        inside = self.least > 0
        y0, y1 = _extent(np.any(inside, axis=2), self.y)
        x0, x1 = _extent(np.any(inside, axis=1), self.x)
        for part in self._doubtful((self.most > 0) & ~inside):
            for first, last, along, cell, other in ((y0, y1, self.y, part.row, 1), (x0, x1, self.x, part.column, 0)):
                on = part.logits.max(other) > 0  # (R, C)
                any_on = on.any(0)
                least = np.where(any_on, along.start[cell] + on.argmax(0), len(along.cell))
                most = np.where(any_on, along.start[cell] + len(on) - 1 - on[::-1].argmax(0), -1)
                masks, starts = np.unique(part.mask, return_index=True)
                first[masks] = np.minimum(first[masks], np.minimum.reduceat(least, starts))
                last[masks] = np.maximum(last[masks], np.maximum.reduceat(most, starts))
        return np.where(y1[:, None] < 0, 0, np.stack([x0, y0, x1, y1], 1))

    def runs(self) -> Iterator[Runs]:
        """Run lengths of logit > 0 at full size, mask after mask. Reads only where the mask may be."""
        for n, (inside, maybe) in enumerate(zip(self.least > 0, self.most > 0, strict=True)):
            rows, columns = np.flatnonzero(maybe.any(1)), np.flatnonzero(maybe.any(0))
            if len(rows) == 0:
                yield np.asarray([self.height * self.width])
                continue
            down, across = _span(self.y, rows), _span(self.x, columns)
            mask = inside[:, self.x.cell[across]][self.y.cell[down]]
            for part in self._doubtful((maybe & ~inside)[None], n):
                y, x, cell = (part.logits > 0).nonzero()
                y += self.y.start[part.row[cell]] - down.start
                x += self.x.start[part.column[cell]] - across.start
                mask[y, x] = True
            yield rle.placed(rle.runs(mask), mask.shape, (across.start, down.start), (self.height, self.width))

    def _pixels(self, cells: Bits) -> Ints:
        """bool (N, Ky, Kx) → pixels in the chosen cells, (N,)."""
        rows = cells.astype(np.float32) @ self.x.count.astype(np.float32)  # < 2^24: exact
        return (rows.astype(np.float64) @ self.y.count.astype(np.float64)).astype(np.int64)

    def _doubtful(self, cells: Bits, first: int = 0) -> Iterator[Doubtful]:
        """The chosen cells of masks `first`…, interpolated block by block."""
        chosen = np.flatnonzero(cells)
        step = max(BLOCK // (self.y.reach * self.x.reach), 1)
        for at in range(0, len(chosen), step):
            mask, row, column = np.unravel_index(chosen[at : at + step], cells.shape)
            yield Doubtful(mask, row, column, self._interpolate(mask + first, row, column))

    def _interpolate(self, mask: Ints, row: Ints, column: Ints) -> Floats:
        """(C,) cells → their pixels (Ry, Rx, C). Cells are the last axis, so that operations run over many values."""
        flat, pitch = torch.from_numpy(self.padded.reshape(-1)), self.padded.shape[2]
        corner = torch.from_numpy((mask * self.padded.shape[1] + self.y.base[row]) * pitch + self.x.base[column])
        across, down = self.x.of(column), self.y.of(row)
        out = torch.zeros(self.y.reach, self.x.reach, len(corner))
        for j in range(TAPS):
            line = across[0] * flat.index_select(0, corner + j * pitch)
            for i in range(1, TAPS):
                line.addcmul_(across[i], flat.index_select(0, corner + (j * pitch + i)))
            out.addcmul_(down[j][:, None], line[None])
        return out.numpy()


def _bases(values: Floats, along: int, base: Ints) -> Floats:
    """The windows at the cells' first values. A view where no window is left out, as in any large image."""
    first, last = int(base[0]), int(base[-1])
    if last - first + 1 == len(base):
        return values[:, first : last + 1] if along == 1 else values[:, :, first : last + 1]
    return values.take(base, axis=along)


def _count(on: Bits) -> Ints:
    """bool (Ry, Rx, C) → (C,). Adding bytes as bytes first is an order of magnitude faster."""
    narrow = np.uint8 if on.shape[1] < 256 else np.uint32
    rows: NDArray[np.unsignedinteger] = np.add.reduce(on.view(np.uint8), axis=1, dtype=narrow)
    total: Ints = np.add.reduce(rows, axis=0, dtype=np.int64)
    return total


def _span(axis: Axis, cells: Ints) -> slice:
    """The pixels from the first to the last of the cells."""
    return slice(int(axis.start[cells[0]]), int(axis.start[cells[-1]] + axis.count[cells[-1]]))


def _extent(on: Bits, axis: Axis) -> tuple[Ints, Ints]:
    """bool (N, K) → first and last pixel of the chosen cells (past the end, and −1, where there is none)."""
    first = np.where(on, axis.start, len(axis.cell)).min(1)
    return first, np.where(on, axis.start + axis.count - 1, -1).max(1)
