"""Masks → polygons along the edges of their pixels, with holes. Filled again, they give the same mask.

The corners of a rectilinear outline pair up: in each row of the pixel grid, corners 0 and 1, 2 and 3, … are joined by
horizontal edges, and so are the corners of each column by vertical ones. Following the edges in turn gives the rings.
Pixels that touch at a corner only belong to different polygons (4-connectivity).

numpy only: exports use this file too.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from model.masks.rle import RLE, Runs, by_column, checked_runs, intervals

Ring = NDArray[np.int64]
"""(N, 2) corners x, y in pixels of the image, without the first one again."""
Polygon = list[Ring]
"""The outer ring, then the holes."""
_COUNTS_PER_CORNER = 2
"""Of noise there are fewer characters in an RLE than corners. Long level edges take more."""


class TooManyCorners(ValueError):
    """The outlines have more corners than were asked for, or counts so long that nobody wants to know."""


@dataclass(frozen=True)
class _Corners:
    """Where outlines turn. Where two pixels touch at a corner only, there are two: sides 0 and 1."""

    x: NDArray[np.int64]
    y: NDArray[np.int64]
    side: NDArray[np.int64]
    opens: NDArray[np.bool_]
    """The pixel to the lower right is foreground, and the one above it is not."""


@dataclass(frozen=True)
class _Rings:
    """Closed outlines, one after the other."""

    corners: NDArray[np.int64]
    """Indexes of corners, in order around each ring."""
    starts: NDArray[np.int64]
    """Where each ring begins in `corners`."""
    ring: NDArray[np.int64]
    """The ring of each entry of `corners`."""


def polygons(masks: Sequence[RLE], most: int | None = None) -> list[list[Polygon]]:
    """The polygons of masks of one size, in one pass over all of them. Raises RLEError for counts that are not valid.

    Shoelace areas are positive for outer rings and negative for holes, in the image's frame (y down). Raises
    TooManyCorners, before it takes much memory, where the outlines have more than `most` corners together.
    """
    found: list[list[Polygon]] = [[] for _ in masks]
    if not masks:
        return found
    if most is not None and sum(len(rle["counts"]) for rle in masks) > most * _COUNTS_PER_CORNER:
        raise TooManyCorners
    pitch = masks[0]["size"][1] + 1  # masks stand side by side, with an empty column after each
    runs = [_columns(rle) for rle in masks]
    tops, bottoms = (np.concatenate([run[i] for run in runs]) for i in (0, 1))
    columns = np.concatenate([run[2] + number * pitch for number, run in enumerate(runs)])
    corners = _corners(tops, bottoms, columns)
    if len(corners.x) == 0:
        return found
    if most is not None and len(corners.x) > most:
        raise TooManyCorners
    rings = _rings(corners)
    x, y = corners.x[rings.corners], corners.y[rings.corners]
    # The uppermost corner of each, and of those the leftmost: the pixel to its lower right is inside the ring.
    first = rings.corners[np.lexsort((x, y, rings.ring))[rings.starts]]
    outer = corners.opens[first]
    owners = _owners(corners, rings, first, outer, (tops, bottoms, columns))
    turned = (_areas(x, y, rings.starts) > 0) != outer
    cut = _cut(np.stack([x % pitch, y], axis=1), rings.starts, turned)
    of_outer: dict[int, Polygon] = {}
    for number in np.flatnonzero(outer).tolist():
        of_outer[number] = [cut[number]]
        found[int(corners.x[first[number]]) // pitch].append(of_outer[number])
    for number in np.flatnonzero(~outer).tolist():
        of_outer[int(owners[number])].append(cut[number])
    return found


def _cut(places: Ring, starts: Runs, turned: NDArray[np.bool_]) -> list[Ring]:
    """Each ring on its own, those that are `turned` backwards."""
    ends = np.append(starts[1:], len(places))
    parts = zip(starts.tolist(), ends.tolist(), turned.tolist(), strict=True)
    return [places[a:b][::-1] if turn else places[a:b] for a, b, turn in parts]


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


def _rings(corners: _Corners) -> _Rings:
    """The corners of every ring, outer ones and holes, in no particular direction."""
    across = _partners(np.lexsort((corners.side, corners.x, corners.y)))
    # Side 0 has the edge to the left. Where the lower right pixel is foreground, so is the upper left one: its outline
    # goes up from there. Else the outline of the lower left pixel goes down.
    touching = np.zeros(len(corners.x), np.bool_)
    twins = np.flatnonzero(corners.side)
    touching[twins] = touching[twins - 1] = True
    upward = np.where(touching & ~corners.opens, 1 - corners.side, corners.side)
    down = _partners(np.lexsort((upward, corners.y, corners.x)))
    order, starts = _cycles(across.tolist(), down.tolist())
    sizes = np.diff(np.append(starts, len(order)))
    return _Rings(np.array(order), np.array(starts), np.repeat(np.arange(len(starts)), sizes))


def _partners(order: NDArray[np.int64]) -> NDArray[np.int64]:
    """Corners in order along their lines → the other end of each corner's edge."""
    partners = np.empty_like(order)
    partners[order[0::2]], partners[order[1::2]] = order[1::2], order[0::2]
    return partners


def _cycles(across: list[int], down: list[int]) -> tuple[list[int], list[int]]:
    """The corners of all rings, and where each ring begins."""
    seen = bytearray(len(across))
    order: list[int] = []
    starts: list[int] = []
    for first in range(len(across)):
        if seen[first]:
            continue
        starts.append(len(order))
        at = first
        while not seen[at]:
            beyond = across[at]
            seen[at] = seen[beyond] = 1
            order += (at, beyond)
            at = down[beyond]
    return order, starts


def _owners(
    corners: _Corners, rings: _Rings, first: Runs, outer: NDArray[np.bool_], runs: tuple[Runs, Runs, Runs]
) -> NDArray[np.int64]:
    """The outer ring of each ring: itself, or the one around the hole.

    Above a hole's first pixel is a run of foreground. The edge on top of that run belongs to the outer ring, or to
    another hole of the same polygon, whose first pixel is higher.
    """
    tops, bottoms, columns = runs
    owners = np.arange(len(first))
    holes = np.flatnonzero(~outer)
    holes = holes[np.argsort(corners.y[first[holes]], kind="stable")]
    x, y = corners.x[first[holes]], corners.y[first[holes]]
    tall, wide = int(bottoms.max()) + 1, int(columns.max()) + 2
    run = np.searchsorted(columns * tall + bottoms, x * tall + y)
    left = np.lexsort((corners.side, corners.x, corners.y))[0::2]  # left ends of horizontal edges, in order
    edge = np.searchsorted(corners.y[left] * wide + corners.x[left], tops[run] * wide + x, side="right") - 1
    ring_of = np.empty(len(corners.x), np.int64)
    ring_of[rings.corners] = rings.ring
    for hole, above in zip(holes.tolist(), ring_of[left[edge]].tolist(), strict=True):
        owners[hole] = owners[above]
    return owners


def _areas(x: Runs, y: Runs, starts: Runs) -> NDArray[np.int64]:
    """Twice the area of each ring, with a sign, by the shoelace formula."""
    after = np.arange(1, len(x) + 1)
    after[np.append(starts[1:], len(x)) - 1] = starts
    areas: NDArray[np.int64] = np.add.reduceat(x * y[after] - x[after] * y, starts)
    return areas
