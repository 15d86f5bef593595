"""One axis of the two bilinear steps from low-resolution logits to the crop's pixels, cut into cells.

A cell is a run of pixels that are made of the same neighbouring values.
"""

from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]
Packed = tuple[Ints, Ints, Ints, Floats]
TAPS = 3  # neighbouring values that make a pixel


@dataclass(frozen=True)
class Axis:
    """One axis of the interpolation: K cells of at most R pixels each."""

    base: Ints  # (K,): the first of them in each cell
    start: Ints  # (K,): the cell's first pixel
    count: Ints  # (K,): its pixels
    weights: Tensor  # float32 (3·R, K), tap-major, zero from `count` on
    cell: Ints  # (pixels,): each pixel's cell

    @property
    def reach(self) -> int:
        return self.weights.shape[0] // TAPS

    def of(self, cells: Ints) -> Tensor:
        """(C,) cells → their weights (3, R, C)."""
        return self.weights.index_select(1, torch.from_numpy(cells.astype(np.int32))).view(TAPS, self.reach, -1)

    @cached_property
    def packed(self) -> Packed:
        """As `kernels` takes it: base, start, count, and weights (K, 3, R) cell by cell."""
        weights = self.weights.view(TAPS, self.reach, -1).numpy().transpose(2, 0, 1)
        return self.base, self.start, self.count, np.ascontiguousarray(weights)


@lru_cache(maxsize=256)
def axis_of(inner: int, out: int, step: tuple[int, int]) -> Axis:
    """From `low` values to `side` model pixels, where `step` is (side, low); of these the first `inner`, to `out`."""
    near, far, share = _bilinear(inner, out)
    low_near, low_far, low_share = _bilinear(step[1], step[0])
    base = low_near[near]
    rows = np.arange(out)
    weights = np.zeros((TAPS, out), dtype=np.float32)
    for at, part in ((near, 1 - share), (far, share)):
        np.add.at(weights, (low_near[at] - base, rows), part * (1 - low_share[at]))
        np.add.at(weights, (low_far[at] - base, rows), part * low_share[at])
    bases, start, cell, count = np.unique(base, return_index=True, return_inverse=True, return_counts=True)
    table = np.zeros((TAPS, int(count.max()), len(bases)), dtype=np.float32)
    table[:, rows - start[cell], cell] = weights
    return Axis(bases, start, count, torch.from_numpy(table.reshape(-1, len(bases))), cell)


def _bilinear(size: int, out: int) -> tuple[Ints, Ints, Floats]:
    """For each of `out` pixels over `size`: both taps, and the share of the second. float32, as torch computes it."""
    half = np.float32(0.5)
    at = np.float32(size / out) * (np.arange(out, dtype=np.float32) + half) - half
    at = np.maximum(at, np.float32(0))
    near = np.minimum(at.astype(np.int64), size - 1)
    return near, np.minimum(near + 1, size - 1), at - near.astype(np.float32)
