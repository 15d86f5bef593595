"""A mask → the tiles of a lattice that it meets, each with run lengths of its own and its place in the image.

Nothing here has the size of the image: counts are read in parts, and tiles are made strip by strip.

numpy only: exports use this file too.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from model.masks.rle import RLE, RLEError, Runs, by_column, compress, deltas, from_intervals

SIDE: Final = 1024
"""Pixels on a side of a tile. The last of a row or a column may be smaller."""
PART: Final = 1 << 20
"""Characters of counts that are read at a time."""


@dataclass(frozen=True)
class MaskTile:
    """The part of a mask in one tile. `offset`: the x, y of the tile's first pixel in the image."""

    offset: tuple[int, int]
    rle: RLE


def tiles_of(mask: RLE, side: int = SIDE) -> Iterator[MaskTile]:
    """The tiles in which the mask has a pixel, by columns of tiles. Raises RLEError for counts that are not valid."""
    height, width = mask["size"]
    held: list[tuple[Runs, Runs]] = []
    strip = 0
    for starts, ends in _foreground(mask["counts"], height * width):
        while len(starts):
            if starts[0] >= (strip + 1) * side * height:
                yield from _of_strip(held, (height, width), strip, side)
                held, strip = [], int(starts[0]) // (side * height)
            limit = (strip + 1) * side * height
            begun = int(np.searchsorted(starts, limit))
            held.append((starts[:begun].copy(), np.minimum(ends[:begun], limit)))
            over = int(np.searchsorted(ends, limit, side="right"))
            starts, ends = starts[over:], ends[over:]
            starts[:1] = np.maximum(starts[:1], limit)  # the first may go on from the strip before
    yield from _of_strip(held, (height, width), strip, side)


def _of_strip(held: Sequence[tuple[Runs, Runs]], size: tuple[int, int], strip: int, side: int) -> Iterator[MaskTile]:
    """The tiles of one column of tiles, from the runs that lie in it."""
    if not held:
        return
    height, x = size[0], strip * side
    width, rows = min(side, size[1] - x), -(-height // side)
    begun, ended = (np.concatenate(some) for some in zip(*held, strict=True))
    starts, ends, column = by_column(begun, ended, height)
    # Columns as high as all rows of tiles, so that a second cut divides them into tiles.
    shift = column * (rows * side - height)
    starts, ends, cell = by_column(starts + shift, ends + shift, side)
    column, row = np.divmod(cell, rows)
    tall = np.minimum(side, height - row * side)
    shift = (column - x) * tall - cell * side
    starts, ends = starts + shift, ends + shift
    order = np.argsort(row, kind="stable")
    found, firsts = np.unique(row[order], return_index=True)
    parts = np.split(order, firsts[1:])
    sizes = [(min(side, height - int(y) * side), width) for y in found]
    lengths = [from_intervals(starts[i], ends[i], h * w) for i, (h, w) in zip(parts, sizes, strict=True)]
    for y, (h, w), counts in zip(found, sizes, compress(lengths), strict=True):
        yield MaskTile((x, int(y) * side), {"size": [h, w], "counts": counts})


def _foreground(counts: str, total: int) -> Iterator[tuple[Runs, Runs]]:
    """Starts and ends of the foreground runs, in order, some at a time."""
    at = number = 0
    for lengths in _lengths(counts):
        ends = at + np.cumsum(lengths)
        at = int(ends[-1])
        if at > total or (lengths < 0).any():
            break
        odd = slice(1 - number % 2, None, 2)
        some = lengths[odd] > 0
        yield (ends[odd] - lengths[odd])[some], ends[odd][some]
        number += len(lengths)
    if at != total:
        raise RLEError(f"run lengths add up to {at} and not to {total} pixels")


def _lengths(counts: str) -> Iterator[Runs]:
    """Run lengths, some at a time. From the fourth on, counts hold the difference to the one two before."""
    raw = counts.encode("ascii", "replace")
    lo, number = 0, 0
    before = [0, 0]
    while lo < len(raw):
        hi = min(lo + PART, len(raw))
        while hi < len(raw) and (raw[hi - 1] - 48) & 32:
            hi += 1
        lengths = deltas(raw[lo:hi])
        first = int(lengths[0])
        if number == 0:
            lengths[0] = 0  # nothing is a difference to the first
        for parity in (0, 1):
            some = lengths[(number + parity) % 2 :: 2]
            np.cumsum(some, out=some)
            some += before[parity]
            before[parity] = int(some[-1]) if len(some) else before[parity]
        if number == 0:
            lengths[0] = first
        yield lengths
        lo, number = hi, number + len(lengths)
