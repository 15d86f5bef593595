"""Draw masks over their picture: each in a colour of its own, blended, with an outline."""

import colorsys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from model.masks.rle import RLE, decode

OPACITY = 0.45
GOLDEN = 0.618033988749895  # turns of the colour wheel between neighbours: never close, never repeating


def draw(picture: Path, masks: Sequence[RLE], target: Path) -> None:
    """Write a PNG of `picture` with `masks` over it, the largest at the bottom."""
    with Image.open(picture) as opened:
        canvas = np.asarray(opened.convert("RGB"), dtype=np.float32)
    areas = sorted((decode(mask) for mask in masks), key=lambda mask: -int(mask.sum()))
    for number, mask in enumerate(areas):
        canvas = _paint(canvas, mask, _colour(number))
    Image.fromarray(canvas.round().astype(np.uint8)).save(target)


def _paint(canvas: NDArray[np.float32], mask: NDArray[np.bool_], colour: NDArray[np.float32]) -> NDArray[np.float32]:
    """canvas (H, W, 3) in 0…255, mask (H, W) → a new canvas."""
    painted = np.where(mask[..., None], canvas * (1 - OPACITY) + colour * OPACITY, canvas)
    painted[_outline(mask)] = colour
    return painted


def _outline(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The pixels of a mask (H, W) with a neighbour outside it; the picture's edge is not outside."""
    padded = np.pad(mask, 1, mode="edge")
    inside = padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
    edge: NDArray[np.bool_] = mask & ~inside
    return edge


def _colour(number: int) -> NDArray[np.float32]:
    return np.array(colorsys.hsv_to_rgb(number * GOLDEN % 1, 0.85, 1.0), dtype=np.float32) * 255
