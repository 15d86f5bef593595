"""Pictures with masks as scenes, so that training uses them like those that it draws.

A mask that lies in a larger one is a part of it. Pixels without a mask belong to nothing: a click there has no right
answer, and teaches nothing.
"""

from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from training.scenes import MAX_LEAVES, NOWHERE, SIDE, Scene

INSIDE: Final = 0.9
"""The share of a mask inside a larger one from which on it is its part."""


def scene_of(image: NDArray[np.uint8], masks: NDArray[np.bool_]) -> Scene:
    """(H, W, 3) RGB and (n, H, W) → a scene. The largest masks are kept, and smaller ones lie on top."""
    height, width = image.shape[:2]
    scale = SIDE / max(height, width)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    pixels = np.zeros((SIDE, SIDE, 3), np.uint8)
    leaves = np.full((SIDE, SIDE), NOWHERE, np.uint8)
    table = np.zeros((256, 4), np.uint8)
    here = slice(size[1]), slice(size[0])
    pixels[here] = cv2.resize(image, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    leaves[here] = 0
    wholes: list[NDArray[np.bool_]] = []
    parts = 0
    for leaf, number in enumerate(np.argsort(-masks.sum((1, 2)), kind="stable")[: MAX_LEAVES - 1], 1):
        mask = cv2.resize(masks[number].astype(np.uint8), size, interpolation=cv2.INTER_NEAREST_EXACT).astype(bool)
        around = [k for k, whole in enumerate(wholes, 1) if (mask & whole).sum() >= INSIDE * max(1, int(mask.sum()))]
        if around:
            parts += 1
            table[leaf] = around[-1], parts, 0, 0
        else:
            wholes.append(mask)
            table[leaf] = len(wholes), 0, 0, 0
        leaves[here][mask] = leaf
    return Scene(pixels, leaves, table)
