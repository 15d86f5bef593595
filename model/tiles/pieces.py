"""A mask of one window, and the mask of the image that several of them make."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final, NamedTuple

from model.masks.mask import Mask
from model.tiles.grid import Window
from model.tiles.pixels import Pixels, counts_of, placed, united

_NEAR: Final = 4
"""Pixels. A mask that ends so close to the edge of its window is taken to be cut by it: masks end a little early."""
_MOST: Final = 0.5


class Cut(NamedTuple):
    """The sides of its window at which a mask is cut. The sides of the image cut nothing."""

    left: bool
    top: bool
    right: bool
    bottom: bool


@dataclass(frozen=True, eq=False)
class Piece:
    """A mask as its window shows it, in pixels of the image. `point`: the one that asked for it."""

    pixels: Pixels
    window: Window
    cut: Cut
    predicted_iou: float
    stability_score: float
    points: list[list[float]] | None

    @cached_property
    def area(self) -> int:
        return self.pixels.area

    @property
    def whole(self) -> bool:
        """Whether its window shows all of it."""
        return not any(self.cut)


def piece_of(mask: Mask, window: Window, size: tuple[int, int]) -> Piece:
    """A mask of a window, whose coordinates are those of the window. `size`: height and width of the image."""
    height, width = size
    pixels = placed(mask.rle["counts"], window, height)
    x, y, w, h = mask.bbox
    cut = Cut(
        left=window.x > 0 and x < _NEAR,
        top=window.y > 0 and y < _NEAR,
        right=window.right < width and x + w > window.width - _NEAR,
        bottom=window.bottom < height and y + h > window.height - _NEAR,
    )
    points = mask.point_coords and [[px + window.x, py + window.y] for px, py in mask.point_coords]
    return Piece(pixels, window, cut, mask.predicted_iou, mask.stability_score, points)


def one_object(pieces: Sequence[Piece], width: int) -> Mask:
    """The mask of an object that several windows show.

    A window that shows it whole decides, if its mask has most of the pixels that all have together. Else all are
    united. Of several that show it whole, the one with the highest predicted IoU decides.
    """
    whole = max((p for p in pieces if p.whole), key=lambda p: (p.predicted_iou, p.area), default=None)
    if whole is not None and (len(pieces) == 1 or whole.area >= _MOST * united([p.pixels for p in pieces]).area):
        return one_mask([whole], width)
    return one_mask(pieces, width)


def one_mask(pieces: Sequence[Piece], width: int, prompt_id: str | None = None) -> Mask:
    """All pixels of the pieces as one mask of the image.

    Its scores are the means of theirs, weighted by their areas. Its points are those of the largest, and its crop is
    the rectangle around their windows.
    """
    pixels = united([p.pixels for p in pieces])
    crop = pieces[0].window
    for piece in pieces[1:]:
        crop = crop.around(piece.window)
    return Mask(
        rle={"size": [pixels.height, width], "counts": counts_of(pixels, width)},
        bbox=list(pixels.box()),
        area=pixels.area,
        predicted_iou=_mean([p.predicted_iou for p in pieces], pieces),
        stability_score=_mean([p.stability_score for p in pieces], pieces),
        point_coords=max(pieces, key=lambda p: p.area).points,
        crop_box=list(crop),
        prompt_id=prompt_id,
    )


def _mean(scores: Sequence[float], pieces: Sequence[Piece]) -> float:
    total = sum(p.area for p in pieces)
    if total == 0:
        return sum(scores) / len(scores)
    return sum(score * p.area for score, p in zip(scores, pieces, strict=True)) / total
