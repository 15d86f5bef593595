"""Draw masks over their picture: each in a colour of its own, blended, with an outline."""

import colorsys
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from model.masks.rle import RLE, area, bbox, decode

OPACITY = 0.45
GOLDEN = 0.618033988749895  # turns of the colour wheel between neighbours: never close, never repeating


def draw(canvas: NDArray[np.uint8], masks: Sequence[RLE]) -> None:
    """Paint `masks` into `canvas`, RGB (H, W, 3), the largest at the bottom. One mask at a time is decoded."""
    for number, mask in enumerate(sorted(masks, key=area, reverse=True)):
        _paint(canvas, mask, _colour(number))


def _paint(canvas: NDArray[np.uint8], rle: RLE, colour: NDArray[np.float64]) -> None:
    x, y, width, height = bbox(rle)
    if width == 0:
        return
    # One pixel more on each side, so that an edge of the mask is not taken for the picture's.
    window = (slice(max(y - 1, 0), y + height + 1), slice(max(x - 1, 0), x + width + 1))
    mask, part = decode(rle)[window], canvas[window]
    edge = _outline(mask)
    for channel, value in enumerate(colour):
        blended = np.round(np.arange(256) * (1 - OPACITY) + value * OPACITY).astype(np.uint8)
        np.copyto(part[..., channel], blended[part[..., channel]], where=mask)
        part[edge, channel] = round(value)


def _outline(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The pixels of a mask (H, W) with a neighbour outside it; the picture's edge is not outside."""
    padded = np.pad(mask, 1, mode="edge")
    inside = padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
    edge: NDArray[np.bool_] = mask & ~inside
    return edge


def _colour(number: int) -> NDArray[np.float64]:
    return np.array(colorsys.hsv_to_rgb(number * GOLDEN % 1, 0.85, 1.0)) * 255
