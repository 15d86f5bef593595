"""The stored picture → the upright one, as a viewer shows it (EXIF 2.3, tag 0x0112)."""

from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from model.tiles.grid import Window

_FLIP: Final = {2: 1, 3: -1, 4: 0, 6: 1, 7: -1, 8: 0}
_SWAPPED: Final = frozenset({5, 6, 7, 8})
"""Orientations with width and height exchanged."""


def turned(pixels: NDArray[np.uint8], orientation: int) -> NDArray[np.uint8]:
    upright: Any = pixels
    if orientation in _SWAPPED:
        upright = cv2.transpose(upright)
    flip = _FLIP.get(orientation)
    if flip is not None:
        upright = cv2.flip(upright, flip)
    return np.ascontiguousarray(upright)


def turned_size(width: int, height: int, orientation: int) -> tuple[int, int]:
    return (height, width) if orientation in _SWAPPED else (width, height)


def stored_window(window: Window, width: int, height: int, orientation: int) -> Window:
    """Where a window of the upright picture of this size is stored."""
    x, y, w, h = window
    flip = _FLIP.get(orientation)
    if flip in (1, -1):
        x = width - x - w
    if flip in (0, -1):
        y = height - y - h
    return Window(y, x, h, w) if orientation in _SWAPPED else Window(x, y, w, h)


def stored_point(x: float, y: float, width: int, height: int, orientation: int) -> tuple[float, float]:
    """Where a point of the upright picture is in the stored one, which has this size."""
    if orientation in _SWAPPED:
        width, height = height, width
    flip = _FLIP.get(orientation)
    x = width - x if flip in (1, -1) else x
    y = height - y if flip in (0, -1) else y
    return (y, x) if orientation in _SWAPPED else (x, y)
