"""Cells whose passes are compiled (`kernels`). Results equal those of `cells`, which take their place without numba."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from model.jit import divided
from model.masks import kernels, rle
from model.masks.axis import Floats, Ints, axis_of
from model.masks.frames import Frame

CHANGES = 1 << 14  # that a mask has room for at first


class CompiledCells:
    """N finite logits seen through one frame, as `Cells` takes them: any number of masks, in place."""

    def __init__(self, logits: Floats, frame: Frame, step: tuple[int, int]) -> None:
        self.height, self.width = frame.size
        self.logits = np.ascontiguousarray(logits)
        self.y = axis_of(frame.resized[0], self.height, step).packed
        self.x = axis_of(frame.resized[1], self.width, step).packed

    def chosen(self, index: Ints) -> CompiledCells:
        """Some of the masks."""
        some = CompiledCells.__new__(CompiledCells)
        some.__dict__ = self.__dict__ | {"logits": self.logits[index]}
        return some

    def counts(self, offset: float) -> tuple[Ints, Ints]:
        """Pixels with logit > +offset, and > −offset: (N,) each."""
        high, low = np.empty((2, len(self.logits)), dtype=np.int64)
        limit = np.float32(offset)
        divided(lambda a, b: kernels.count(self.logits, self.y, self.x, limit, a, b, high, low), len(high))
        return high, low

    def boxes(self) -> Ints:
        """(N, 4) x0, y0, x1, y1 of logit > 0, inclusive; zeros for an empty mask."""
        found = np.empty((len(self.logits), 4), dtype=np.int64)
        divided(lambda a, b: kernels.box(self.logits, self.y, self.x, a, b, found), len(found))
        return found

    def runs(self) -> Iterator[rle.Runs]:
        """Run lengths of logit > 0 at full size, mask after mask."""
        for part in divided(lambda a, b: [self._runs(n) for n in range(a, b)], len(self.logits)):
            yield from part

    def _runs(self, n: int) -> rle.Runs:
        found = np.empty(CHANGES, dtype=np.int64)
        size = kernels.changes(self.logits, self.y, self.x, n, found)
        if size > len(found):
            found = np.empty(size, dtype=np.int64)
            kernels.changes(self.logits, self.y, self.x, n, found)
        return rle.from_changes(found[:size], False, self.height * self.width)
