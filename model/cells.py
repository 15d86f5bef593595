"""Full-size measures and masks from low-resolution logits, interpolating only pixels that are in doubt. CPU.

The reference upsamples logits twice (low → S, cut the padding, → original size, both bilinear). The two steps
are separable and together take at most three neighbouring low-resolution values per axis, with weights ≥ 0 that
add up to 1. So original pixels fall into cells that share their 3x3 values: where the least of those is above
a threshold, or the greatest not above it, the whole cell is decided without interpolating. What is left, the
cells along outlines, is interpolated. Of full size, nothing but bits is held.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from model.frames import Frame
from model.measures import Measures

TAPS = 3
BLOCK = 1 << 18  # pixels interpolated at a time: 1 MB of float32 stays in the second-level cache
FAR = 1 << 40
Pick = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Axis:
    """One axis of the two-step interpolation: K cells of at most R pixels each."""

    base: Tensor  # int64 (K,): the first of a cell's three low-resolution values
    start: Tensor  # int64 (K,): the cell's first pixel
    count: Tensor  # int64 (K,): its pixels
    weights: Tensor  # float32 (3, R, K), zero from `count` on
    cell: Tensor  # int64 (pixels,): each pixel's cell

    @property
    def reach(self) -> int:
        return self.weights.shape[1]


@dataclass(frozen=True)
class Doubtful:
    """C cells to be interpolated: which mask, row and column of cells, and their pixels' logits (Ry, Rx, C)."""

    mask: Tensor
    row: Tensor
    column: Tensor
    logits: Tensor


@lru_cache(maxsize=256)
def axis(low: int, side: int, inner: int, out: int) -> Axis:
    """low values → side model pixels, of which the first `inner` hold the image → out original pixels."""
    near, far, share = _bilinear(inner, out)
    low_near, low_far, low_share = _bilinear(low, side)
    base = low_near[near]
    rows = np.arange(out)
    weights = np.zeros((TAPS, out), dtype=np.float32)
    for at, part in ((near, 1 - share), (far, share)):
        np.add.at(weights, (low_near[at] - base, rows), part * (1 - low_share[at]))
        np.add.at(weights, (low_far[at] - base, rows), part * low_share[at])
    bases, start, cell, count = np.unique(base, return_index=True, return_inverse=True, return_counts=True)
    table = np.zeros((TAPS, int(count.max()), len(bases)), dtype=np.float32)
    table[:, rows - start[cell], cell] = weights
    return Axis(*(torch.from_numpy(v) for v in (bases, start, count, table, cell)))


def _bilinear(size: int, out: int) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]:
    """Both taps and the second's share for `out` pixels over `size`, half-pixel centres, float32 as torch has it."""
    half = np.float32(0.5)
    at = np.float32(size / out) * (np.arange(out, dtype=np.float32) + half) - half
    at = np.maximum(at, np.float32(0))
    near = np.minimum(at.astype(np.int64), size - 1)
    return near, np.minimum(near + 1, size - 1), at - near.astype(np.float32)


class Grid:
    """The cells of one frame; works on float32 (N, low, low) logits."""

    def __init__(self, frame: Frame, side: int, low: int) -> None:
        self.height, self.width = frame.size
        self.y = axis(low, side, frame.resized[0], self.height)
        self.x = axis(low, side, frame.resized[1], self.width)

    def measures(self, logits: Tensor, offset: float) -> Measures:
        """Counts at ±offset and boxes at 0 of each mask."""
        padded, least, most = self._bounds(logits)
        above, within, below = ((least > t) for t in (offset, 0.0, -offset))
        decided = (above | (most <= offset)) & (within | (most <= 0)) & (below | (most <= -offset))
        counts = self._pixels(above & decided), self._pixels(below & decided)
        extent = Extent(self.y, self.x, within & decided)
        for part in self._doubtful(padded, ~decided):
            area = self.y.count[part.row] * self.x.count[part.column]
            spare = part.logits.shape[0] * part.logits.shape[1] - area  # pixels beyond the cell read 0
            counts[0].index_add_(0, part.mask, (part.logits > offset).sum((0, 1)))
            counts[1].index_add_(0, part.mask, (part.logits > -offset).sum((0, 1)) - (offset > 0) * spare)
            extent.add(part)
        return Measures(counts[0], counts[1], extent.boxes())

    def mask(self, logits: Tensor) -> NDArray[np.bool_]:
        """float32 (low, low) → bool (H, W): logit > 0 at full size."""
        padded, least, most = self._bounds(logits[None])
        inside = (least[0] > 0).index_select(0, self.y.cell).index_select(1, self.x.cell)
        flat = inside.view(-1)
        for part in self._doubtful(padded, (least <= 0) & (most > 0)):
            down, right, cell = (part.logits > 0).nonzero(as_tuple=True)
            y, x = self.y.start[part.row[cell]] + down, self.x.start[part.column[cell]] + right
            flat[y * self.width + x] = True
        return inside.numpy()

    def _bounds(self, logits: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Logits with the last values repeated, and each cell's least and greatest of 3x3: (N, Ky, Kx)."""
        padded = F.pad(logits[:, None], (0, TAPS - 1, 0, TAPS - 1), mode="replicate")[:, 0]
        return padded, self._window(padded, torch.minimum), self._window(padded, torch.maximum)

    def _window(self, padded: Tensor, pick: Pick) -> Tensor:
        rows = pick(pick(padded[:, :-2], padded[:, 1:-1]), padded[:, 2:]).index_select(1, self.y.base)
        return pick(pick(rows[..., :-2], rows[..., 1:-1]), rows[..., 2:]).index_select(2, self.x.base)

    def _pixels(self, cells: Tensor) -> Tensor:
        """bool (N, Ky, Kx) → pixels in the chosen cells, int64 (N,)."""
        return ((cells.float() @ self.x.count.float()).double() @ self.y.count.double()).long()

    def _doubtful(self, padded: Tensor, cells: Tensor) -> Iterator[Doubtful]:
        """The chosen cells, interpolated block by block."""
        chosen = cells.nonzero()
        for block in torch.split(chosen, max(BLOCK // (self.y.reach * self.x.reach), 1)):
            mask, row, column = block.unbind(1)
            yield Doubtful(mask, row, column, self._interpolate(padded, mask, row, column))

    def _interpolate(self, padded: Tensor, mask: Tensor, row: Tensor, column: Tensor) -> Tensor:
        """(C,) cells → their pixels (Ry, Rx, C); cells lie innermost so that every step is a long one."""
        flat, pitch = padded.reshape(-1), padded.shape[2]
        corner = (mask * padded.shape[1] + self.y.base[row]) * pitch + self.x.base[column]
        across = self.x.weights.index_select(2, column)  # (3, Rx, C)
        down = self.y.weights.index_select(2, row)
        out = torch.zeros(self.y.reach, self.x.reach, len(corner))
        for j in range(TAPS):
            line = sum_of(across[i] * flat[corner + (j * pitch + i)] for i in range(TAPS))
            out.addcmul_(down[j][:, None], line[None])
        return out


def sum_of(terms: Iterator[Tensor]) -> Tensor:
    total = next(terms)
    for term in terms:
        total = total.add_(term)
    return total


class Extent:
    """The growing boxes of N masks."""

    def __init__(self, y: Axis, x: Axis, cells: Tensor) -> None:
        """cells: bool (N, Ky, Kx), those wholly inside."""
        self.axes = (y, x)
        sides = cells.any(2), cells.any(1)
        self.first = [torch.where(s, a.start, FAR).amin(1) for s, a in zip(sides, self.axes, strict=True)]
        ends = [a.start + a.count - 1 for a in self.axes]
        self.last = [torch.where(s, e, -1).amax(1) for s, e in zip(sides, ends, strict=True)]

    def add(self, part: Doubtful) -> None:
        inside = part.logits > 0
        for i, (axis, cell) in enumerate(zip(self.axes, (part.row, part.column), strict=True)):
            on = inside.any(1 - i)  # (R, C)
            at = axis.start[cell] + torch.arange(len(on))[:, None]
            self.first[i].scatter_reduce_(0, part.mask, torch.where(on, at, FAR).amin(0), "amin")
            self.last[i].scatter_reduce_(0, part.mask, torch.where(on, at, -1).amax(0), "amax")

    def boxes(self) -> Tensor:
        boxes = torch.stack([self.first[1], self.first[0], self.last[1], self.last[0]], 1)
        return torch.where(self.last[0][:, None] < 0, 0, boxes)
