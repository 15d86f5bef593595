"""Small regions of a mask, on its run lengths: holes filled, islands dropped (reference behaviour). numpy only.

The work grows with the number of runs, not of pixels.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from model.masks import rle
from model.masks.rle import Runs

Ints = NDArray[np.int64]


def without_small_regions(lengths: Runs, height: int, area: float) -> tuple[Runs, bool]:
    """Fill holes and drop islands of fewer than `area` pixels. Also says whether there were any.

    Runs go over columns of `height` pixels. Parts are 8-connected. If all islands are small, the largest stays.
    """
    filled, holes = _fill_holes(lengths, height, area)
    cleaned, islands = _drop_islands(filled, height, area)
    return cleaned, holes or islands


@dataclass(frozen=True)
class Parts:
    """The connected parts of a mask: its runs, cut where columns end, and the part of each run."""

    starts: Ints
    ends: Ints
    column: Ints
    part: Ints  # the index of the part's first run

    def areas(self) -> Ints:
        """For each run, the pixels of its part."""
        total = np.zeros(len(self.part), dtype=np.int64)
        np.add.at(total, self.part, self.ends - self.starts)
        return total[self.part]

    def only(self, chosen: NDArray[np.bool_], total: int) -> Runs:
        return rle.from_intervals(self.starts[chosen], self.ends[chosen], total)


def _fill_holes(lengths: Runs, height: int, area: float) -> tuple[Runs, bool]:
    outside = _parts(rle.inverted(lengths), height)
    large = outside.areas() >= area
    if large.all():
        return lengths, False
    return rle.inverted(outside.only(large, int(lengths.sum()))), True


def _drop_islands(lengths: Runs, height: int, area: float) -> tuple[Runs, bool]:
    found = _parts(lengths, height)
    areas, total = found.areas(), int(lengths.sum())
    large = areas >= area
    if large.all():
        return lengths, False
    if not large.any():
        large = found.part == _first_in_opencv(found, areas == areas.max(), height, total // height)
    return found.only(large, total), True


def _first_in_opencv(found: Parts, among: NDArray[np.bool_], height: int, width: int) -> int:
    """The part that OpenCV labels first. It reads blocks of 2x2 pixels, row by row."""
    row = found.starts - found.column * height
    block = (row // 2) * (width // 2 + 1) + found.column // 2
    return int(found.part[np.where(among, block, block.max() + 1).argmin()])


def _parts(lengths: Runs, height: int) -> Parts:
    starts, ends, column = rle.by_column(*rle.intervals(lengths), height)
    # Runs of neighbouring columns touch where they overlap or meet at a corner. Two empty positions between columns
    # keep the last pixel of one column from touching the first of the next.
    pitch = height + 2
    first, last = starts + 2 * column, ends + 2 * column
    begin = np.searchsorted(last, first + pitch, "left")
    counts = np.searchsorted(first, last + pitch, "right") - begin
    here = np.repeat(np.arange(len(starts)), counts)
    there = np.arange(len(here)) + np.repeat(begin - np.cumsum(counts) + counts, counts)
    return Parts(starts, ends, column, _connected(len(starts), here, there))


def _connected(count: int, a: Ints, b: Ints) -> Ints:
    """Edges a–b between `count` nodes → the component of each node, named by its least node."""
    root = np.arange(count)
    while len(a):
        np.minimum.at(root, np.maximum(a, b), np.minimum(a, b))
        while not np.array_equal(root, above := root[root]):
            root = above
        a, b = root[a], root[b]
        apart = a != b
        a, b = a[apart], b[apart]
    return root
