"""A mask as a ranker sees it: a square around its box with the background dimmed."""

from typing import Final

import numpy as np
from PIL import Image as Pillow

from model.masks.frames import Pixels
from model.masks.rle import RLE, bbox, decode
from model.words.pixels import resized

DIMMED: Final = 0.3
"""What is left of the background's brightness."""
MARGIN: Final = 1.2
"""The side of a crop, in long sides of the mask's box."""


def crop(image: Pixels, mask: RLE, side: int) -> Pixels:
    """A square around the mask's box, uint8 (side, side, 3). Outside the mask it is dimmed, outside the image black."""
    x, y, w, h = bbox(mask)
    reach = max(w, h) * MARGIN / 2
    left, top = int(x + w / 2 - reach), int(y + h / 2 - reach)
    length = max(int(2 * reach), 1)
    x0, y0 = max(left, 0), max(top, 0)
    x1, y1 = min(left + length, image.shape[1]), min(top + length, image.shape[0])
    inside = decode(mask)[y0:y1, x0:x1, None]
    part = image[y0:y1, x0:x1]
    square = np.zeros((length, length, 3), np.uint8)
    square[y0 - top : y1 - top, x0 - left : x1 - left] = np.where(inside, part, (part * DIMMED).astype(np.uint8))
    return resized(square, side, side, Pillow.Resampling.BICUBIC)
