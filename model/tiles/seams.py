"""Which masks of two neighbouring windows are of the same object. Both windows show the strip in which they overlap.

| The edge inside the other window cuts | Same object, if inside the strip the IoU is at least 0.5, and |
|---|---|
| both masks | nothing more |
| one mask | the other has at least half of its pixels |
| neither mask | they share at least half of the larger one |

Each mask has one partner across a seam at most, the best ones first: a part of an object is not joined to the whole of
it. A cut mask without a partner is a fragment if a mask that is not cut there has three quarters of its pixels.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from model.tiles.grid import Window
from model.tiles.pieces import Piece
from model.tiles.pixels import Pixels

_SAME: Final = 0.5
_HALF: Final = 0.5
_FRAGMENT: Final = 0.75


class Seam(NamedTuple):
    """What two windows say about each other's masks."""

    partners: list[tuple[Piece, Piece]]
    fragments: list[Piece]


class _Side(NamedTuple):
    """Masks of one window with pixels in the strip. `cut`: by the edge that lies inside the other window."""

    pieces: list[Piece]
    strip: list[Pixels]
    cut: list[bool]
    boxes: NDArray[np.int64]
    areas: NDArray[np.int64]


def beside(left: Sequence[Piece], right: Sequence[Piece], strip: Window) -> Seam:
    return _seam(_side(left, [p.cut.right for p in left], strip), _side(right, [p.cut.left for p in right], strip))


def below(upper: Sequence[Piece], lower: Sequence[Piece], strip: Window) -> Seam:
    return _seam(_side(upper, [p.cut.bottom for p in upper], strip), _side(lower, [p.cut.top for p in lower], strip))


def _side(pieces: Sequence[Piece], cut: Sequence[bool], strip: Window) -> _Side:
    inside = [piece.pixels.inside(strip) for piece in pieces]
    some = [i for i, pixels in enumerate(inside) if len(pixels.starts)]
    boxes = [inside[i].box() for i in some]
    return _Side(
        [pieces[i] for i in some],
        [inside[i] for i in some],
        [cut[i] for i in some],
        np.array([(b.x, b.y, b.right, b.bottom) for b in boxes], np.int64).reshape(-1, 4),
        np.array([inside[i].area for i in some], np.int64),
    )


def _seam(ours: _Side, theirs: _Side) -> Seam:
    shared = _shared(ours, theirs)
    iou = shared / (ours.areas[:, None] + theirs.areas[None, :] - shared)
    found = [(iou[i, j], i, j) for i, j in np.argwhere(iou >= _SAME).tolist() if _agree(ours, theirs, i, j, shared)]
    partners: list[tuple[int, int]] = []
    for _, i, j in sorted(found, key=lambda one: (-one[0], one[1], one[2])):
        if not any(i == other_i or j == other_j for other_i, other_j in partners):
            partners.append((i, j))
    fragments = [
        *_fragments(ours, theirs, shared, {i for i, _ in partners}),
        *_fragments(theirs, ours, shared.T, {j for _, j in partners}),
    ]
    return Seam([(ours.pieces[i], theirs.pieces[j]) for i, j in partners], fragments)


def _shared(ours: _Side, theirs: _Side) -> NDArray[np.int64]:
    """Pixels that each mask of one side has in common with each of the other. Only boxes that meet are looked into."""
    shared = np.zeros((len(ours.pieces), len(theirs.pieces)), np.int64)
    a, b = ours.boxes[:, None], theirs.boxes[None, :]
    meet = (a[..., :2] < b[..., 2:]).all(-1) & (b[..., :2] < a[..., 2:]).all(-1)
    for i, j in np.argwhere(meet).tolist():
        shared[i, j] = ours.strip[i].shared(theirs.strip[j])
    return shared


def _agree(ours: _Side, theirs: _Side, i: int, j: int, shared: NDArray[np.int64]) -> bool:
    ours_cut, theirs_cut = ours.cut[i], theirs.cut[j]
    if ours_cut and theirs_cut:
        return True
    a, b = ours.pieces[i].area, theirs.pieces[j].area
    fragment = a if ours_cut else b if theirs_cut else max(a, b)
    return bool(shared[i, j] >= _HALF * fragment)


def _fragments(ours: _Side, theirs: _Side, shared: NDArray[np.int64], partnered: set[int]) -> list[Piece]:
    uncut = [j for j, cut in enumerate(theirs.cut) if not cut]
    return [
        piece
        for i, piece in enumerate(ours.pieces)
        if ours.cut[i] and i not in partnered and uncut and shared[i, uncut].max() >= _FRAGMENT * piece.area
    ]
