"""Masks → polygons along the edges of their pixels, with holes. Filled again, they give the same mask.

The corners of a rectilinear outline pair up: in each row of the pixel grid, corners 0 and 1, 2 and 3, … are joined by
horizontal edges, and so are the corners of each column by vertical ones. Following the edges in turn gives the rings.
Pixels that touch at a corner only belong to different polygons (4-connectivity).

numpy only: exports use this file too.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from model.masks.rle import RLE, Runs, by_column, checked_runs, intervals

Ring = NDArray[np.int64]
"""(N, 2) corners x, y in pixels of the image, without the first one again."""
Polygon = list[Ring]
"""The outer ring, then the holes."""


@dataclass(frozen=True)
class _Corners:
    """Where outlines turn. Where two pixels touch at a corner only, there are two: sides 0 and 1."""

    x: NDArray[np.int64]
    y: NDArray[np.int64]
    side: NDArray[np.int64]
    opens: NDArray[np.bool_]
    """The pixel to the lower right is foreground, and the one above it is not."""


def polygons(rle: RLE) -> list[Polygon]:
    """The polygons of a mask. Raises RLEError for counts that are not valid.

    Shoelace areas are positive for outer rings and negative for holes, in the image's frame (y down).
    """
    corners = _corners(*_columns(rle))
    places = np.stack([corners.x, corners.y], axis=1)
    outer: list[Ring] = []
    holes: list[Ring] = []
    for members in _rings(corners):
        ring = places[members]
        # The uppermost corner, and of those the leftmost: the pixel to its lower right is inside the ring.
        first = members[np.lexsort((ring[:, 0], ring[:, 1]))[0]]
        (outer if corners.opens[first] else holes).append(ring)
    return [[_turned(ring, hole=i > 0) for i, ring in enumerate(rings)] for rings in _nested(outer, holes)]


def _columns(rle: RLE) -> tuple[Runs, Runs, Runs]:
    """Runs of foreground inside columns: the first row, the end (exclusive) and the column of each. None touch."""
    height = rle["size"][0]
    starts, ends, columns = by_column(*intervals(checked_runs(rle)), height)
    tops, bottoms = starts - columns * height, ends - columns * height
    apart = (tops[1:] != bottoms[:-1]) | (columns[1:] != columns[:-1])
    begins, closes = np.append(True, apart)[: len(tops)], np.append(apart, True)[: len(tops)]
    return tops[begins], bottoms[closes], columns[begins]


def _corners(tops: Runs, bottoms: Runs, columns: Runs) -> _Corners:
    """An outline turns at a line of the grid where the run of one neighbouring column ends, and no other does so."""
    y = np.concatenate([tops, bottoms, tops, bottoms])
    x = np.concatenate([columns, columns, columns + 1, columns + 1])
    half = len(tops)
    starts = np.tile(np.repeat([True, False], half), 2)
    own = np.repeat([True, False], 2 * half)  # of the column right of the line
    order = np.lexsort((~own, y, x))
    x, y, starts, own = x[order], y[order], starts[order], own[order]
    twin = np.append((x[1:] == x[:-1]) & (y[1:] == y[:-1]), False) if len(x) else np.zeros(0, np.bool_)
    second = np.append(False, twin[:-1])[: len(x)]
    straight = twin & (starts == np.append(starts[1:], False)[: len(x)])
    kept = ~straight & ~np.append(False, straight[:-1])[: len(x)]
    # Of two that touch, the first is of the right column: `opens` says which diagonal it is.
    opens = np.where(second, np.append(False, starts[:-1])[: len(x)], starts & own)
    return _Corners(x[kept], y[kept], second[kept].astype(np.int64), opens[kept])


def _rings(corners: _Corners) -> Iterator[list[int]]:
    """The corners of every ring, outer ones and holes, in no particular direction."""
    across = _partners(np.lexsort((corners.side, corners.x, corners.y)))
    # Side 0 has the edge to the left. Where the lower right pixel is foreground, so is the upper left one: its outline
    # goes up from there. Else the outline of the lower left pixel goes down.
    touching = np.zeros(len(corners.x), np.bool_)
    twins = np.flatnonzero(corners.side)
    touching[twins] = touching[twins - 1] = True
    upward = np.where(touching & ~corners.opens, 1 - corners.side, corners.side)
    down = _partners(np.lexsort((upward, corners.y, corners.x)))
    return _cycles(across.tolist(), down.tolist())


def _partners(order: NDArray[np.int64]) -> NDArray[np.int64]:
    """Corners in order along their lines → the other end of each corner's edge."""
    partners = np.empty_like(order)
    partners[order[0::2]], partners[order[1::2]] = order[1::2], order[0::2]
    return partners


def _cycles(across: list[int], down: list[int]) -> Iterator[list[int]]:
    seen = bytearray(len(across))
    for first in range(len(across)):
        if seen[first]:
            continue
        ring: list[int] = []
        at = first
        while not seen[at]:
            beyond = across[at]
            seen[at] = seen[beyond] = 1
            ring += (at, beyond)
            at = down[beyond]
        yield ring


def _nested(outer: list[Ring], holes: list[Ring]) -> list[Polygon]:
    """Each hole goes to the smallest outer ring around it."""
    found: list[Polygon] = [[ring] for ring in outer]
    by_size = sorted(range(len(outer)), key=lambda i: abs(_area(outer[i])))
    for hole in holes:
        column, row = hole[np.lexsort((hole[:, 0], hole[:, 1]))[0]]
        # The pixel above the hole's first one is foreground.
        around = next(i for i in by_size if _inside(outer[i], column + 0.5, row - 0.5))
        found[around].append(hole)
    return found


def _inside(ring: Ring, x: float, y: float) -> bool:
    """Whether a ray from the point to the left crosses an odd number of vertical edges."""
    after = np.roll(ring, -1, axis=0)
    vertical = ring[:, 0] == after[:, 0]
    crosses = vertical & (ring[:, 0] < x) & ((ring[:, 1] > y) != (after[:, 1] > y))
    return bool(np.count_nonzero(crosses) % 2)


def _area(ring: Ring) -> float:
    """The shoelace formula."""
    x, y = ring[:, 0], ring[:, 1]
    return float(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1))) / 2


def _turned(ring: Ring, *, hole: bool) -> Ring:
    """The ring in the direction of its kind."""
    return ring if (_area(ring) < 0) == hole else ring[::-1]
