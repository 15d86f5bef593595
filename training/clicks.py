"""Clicks as a person makes them: in the middle, then in the middle of the largest error (RITM's protocol)."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Click:
    x: int
    y: int
    foreground: bool


def depth(mask: Mask) -> NDArray[np.float32]:
    """L2 distance to the mask's boundary, 0 outside. The picture's edge is a boundary too."""
    padded = cv2.copyMakeBorder(mask.astype(np.uint8), 1, 1, 1, 1, cv2.BORDER_CONSTANT)
    return np.asarray(cv2.distanceTransform(padded, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)[1:-1, 1:-1], np.float32)


def farthest_inside(mask: Mask) -> tuple[int, int]:
    """xy of the pixel that is farthest from the mask's boundary."""
    y, x = divmod(int(depth(mask).argmax()), mask.shape[1])
    return x, y


def next_click(wanted: Mask, found: Mask, clicked: list[Click]) -> Click:
    """The middle of the larger error, missing or extra, without pixels that were clicked before."""
    missing, extra = depth(wanted & ~found), depth(found & ~wanted)
    for click in clicked:
        missing[click.y, click.x] = extra[click.y, click.x] = 0
    foreground = bool(missing.max() > extra.max())
    y, x = divmod(int((missing if foreground else extra).argmax()), wanted.shape[1])
    return Click(x, y, foreground)


def box_around(mask: Mask) -> tuple[int, int, int, int]:
    """x0, y0, x1, y1 with exclusive ends."""
    x, y, w, h = cv2.boundingRect(mask.astype(np.uint8))
    return x, y, x + w, y + h


def iou(a: Mask, b: Mask) -> float:
    """Intersection over union; 1 if both are empty."""
    union = int((a | b).sum())
    return int((a & b).sum()) / union if union else 1.0
