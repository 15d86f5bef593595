"""One axis of the two bilinear steps from low-resolution logits to the crop's pixels, cut into cells.

A cell is a run of pixels that are made of the same neighbouring values.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Axis:
    """One axis of the interpolation: K cells of at most R pixels each."""

    taps: int  # neighbouring values that make a pixel
    base: Ints  # (K,): the first of them in each cell
    start: Ints  # (K,): the cell's first pixel
    count: Ints  # (K,): its pixels
    weights: Tensor  # float32 (taps·R, K), tap-major, zero from `count` on
    cell: Ints  # (pixels,): each pixel's cell

    @property
    def reach(self) -> int:
        return self.weights.shape[0] // self.taps

    def of(self, cells: Ints) -> Tensor:
        """(C,) cells → their weights (taps, R, C)."""
        return self.weights.index_select(1, torch.from_numpy(cells.astype(np.int32))).view(self.taps, self.reach, -1)


@lru_cache(maxsize=256)
def axis_of(inner: int, out: int, step: tuple[int, int] | None) -> Axis:
    """From `inner` model pixels to `out` original pixels.

    With a `step` of (side, low), from `low` values to `side` model pixels first; the first `inner` hold the image.
    """
    near, far, share = _bilinear(inner, out)
    low_near, low_far, low_share = _bilinear(step[1], step[0]) if step else _identity(inner)
    taps = 3 if step else 2
    base = low_near[near]
    rows = np.arange(out)
    weights = np.zeros((taps, out), dtype=np.float32)
    for at, part in ((near, 1 - share), (far, share)):
        np.add.at(weights, (low_near[at] - base, rows), part * (1 - low_share[at]))
        np.add.at(weights, (low_far[at] - base, rows), part * low_share[at])
    bases, start, cell, count = np.unique(base, return_index=True, return_inverse=True, return_counts=True)
    table = np.zeros((taps, int(count.max()), len(bases)), dtype=np.float32)
    table[:, rows - start[cell], cell] = weights
    return Axis(taps, bases, start, count, torch.from_numpy(table.reshape(-1, len(bases))), cell)


def _bilinear(size: int, out: int) -> tuple[Ints, Ints, Floats]:
    """For each of `out` pixels over `size`: both taps, and the share of the second. float32, as torch computes it."""
    half = np.float32(0.5)
    at = np.float32(size / out) * (np.arange(out, dtype=np.float32) + half) - half
    at = np.maximum(at, np.float32(0))
    near = np.minimum(at.astype(np.int64), size - 1)
    return near, np.minimum(near + 1, size - 1), at - near.astype(np.float32)


def _identity(size: int) -> tuple[Ints, Ints, Floats]:
    return np.arange(size), np.arange(size), np.zeros(size, np.float32)
