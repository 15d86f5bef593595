"""Small regions of a mask: holes filled, islands dropped (reference behaviour). OpenCV labels the parts."""

import cv2
import numpy as np
from numpy.typing import NDArray

Mask2D = NDArray[np.bool_]


def without_small_regions(mask: Mask2D, area: float) -> tuple[Mask2D, bool]:
    """bool (H, W) → the mask with holes, then islands, of fewer than `area` pixels removed, and whether it changed.

    Parts are 8-connected. A mask whose islands are all small keeps its largest.
    """
    filled, holes = _fill_holes(mask, area)
    cleaned, islands = _drop_islands(filled, area)
    return cleaned, holes or islands


def _parts(pixels: Mask2D) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Labels (0 = outside) and the area of each label."""
    _, labels, stats, _ = cv2.connectedComponentsWithStats(pixels.astype(np.uint8), connectivity=8)
    return np.asarray(labels, dtype=np.int32), np.asarray(stats[:, cv2.CC_STAT_AREA], dtype=np.int32)


def _fill_holes(mask: Mask2D, area: float) -> tuple[Mask2D, bool]:
    labels, areas = _parts(~mask)
    small = areas < area
    small[0] = False
    if not small.any():
        return mask, False
    return mask | small[labels], True


def _drop_islands(mask: Mask2D, area: float) -> tuple[Mask2D, bool]:
    labels, areas = _parts(mask)
    large = areas >= area
    large[0] = False
    if large[1:].all():
        return mask, False
    if not large.any():
        large[1 + int(np.argmax(areas[1:]))] = True
    return large[labels], True
