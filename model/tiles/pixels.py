"""Pixels of one mask in a large image, as runs inside columns. Nothing here has the size of the image.

A position is `x * height + y` of the whole image: pixels are counted column by column, as in COCO's run lengths.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from model.masks import rle
from model.tiles.grid import Window

Positions = NDArray[np.int64]


@dataclass(frozen=True)
class Pixels:
    """Runs in order, each inside one column: first positions and ends (exclusive). `height` is that of the image."""

    starts: Positions
    ends: Positions
    height: int

    @property
    def area(self) -> int:
        return int((self.ends - self.starts).sum())

    def box(self) -> Window:
        """The smallest rectangle around them; empty where there are none."""
        if len(self.starts) == 0:
            return Window(0, 0, 0, 0)
        left, right = int(self.starts[0]) // self.height, (int(self.ends[-1]) - 1) // self.height
        top, bottom = int((self.starts % self.height).min()), int(((self.ends - 1) % self.height).max())
        return Window(left, top, right - left + 1, bottom - top + 1)

    def inside(self, window: Window) -> "Pixels":
        """Those that lie in a rectangle."""
        first, last = np.searchsorted(self.starts, (window.x * self.height, window.right * self.height))
        starts, ends = self.starts[first:last], self.ends[first:last]
        column = starts - starts % self.height
        starts = np.maximum(starts, column + window.y)
        ends = np.minimum(ends, column + window.bottom)
        some = ends > starts
        return Pixels(starts[some], ends[some], self.height)

    def shared(self, other: "Pixels") -> int:
        """How many pixels both have."""
        if len(other.starts) == 0:
            return 0
        before = np.concatenate([[0], np.cumsum(other.ends - other.starts)])
        return int((_below(other, before, self.ends) - _below(other, before, self.starts)).sum())


def _below(pixels: Pixels, before: Positions, at: Positions) -> Positions:
    """How many pixels lie before each position. `before`: how many lie before each run."""
    run = np.searchsorted(pixels.starts, at, side="right") - 1
    length = np.minimum(at, pixels.ends[run]) - pixels.starts[run]
    found: Positions = np.where(run < 0, 0, before[run] + length)
    return found


def placed(counts: str, window: Window, height: int) -> Pixels:
    """The pixels of a window's RLE in the image. Raises RLEError for counts that are not those of the window."""
    lengths = rle.checked_runs({"size": [window.height, window.width], "counts": counts})
    starts, ends, column = rle.by_column(*rle.intervals(lengths), window.height)
    shift = (column + window.x) * height + window.y - column * window.height
    return Pixels(starts + shift, ends + shift, height)


def united(parts: list[Pixels]) -> Pixels:
    """All pixels of several, each once."""
    if len(parts) == 1:
        return parts[0]
    starts, ends = np.concatenate([p.starts for p in parts]), np.concatenate([p.ends for p in parts])
    order = np.argsort(starts, kind="stable")
    starts, reach = starts[order], np.maximum.accumulate(ends[order])
    height = parts[0].height
    begins = np.ones(len(starts), np.bool_)
    # A run that begins a column stays apart from one that ends the column before.
    begins[1:] = (starts[1:] > reach[:-1]) | ((starts[1:] == reach[:-1]) & (starts[1:] % height == 0))
    closes = np.append(begins[1:], True)[: len(starts)]
    return Pixels(starts[begins], reach[closes], height)


def counts_of(pixels: Pixels, width: int) -> str:
    """Their compressed counts, of a mask of the whole image, which is `width` pixels wide."""
    return rle.compress([rle.from_intervals(pixels.starts, pixels.ends, pixels.height * width)])[0]
