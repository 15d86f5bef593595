"""Classical methods for one click or one box, to compare with a trained model.

Each gives one mask for each setting. The best setting of a whole data set counts.
"""

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from training.clicks import Mask

Image = NDArray[np.uint8]
Box = tuple[int, int, int, int]

TOLERANCES = (4, 8, 12, 20, 32, 48)  # of flood fill, in 8-bit Lab units
THREE_TOLERANCES = (8, 20, 32)  # for its best of three
SCALES = (100, 300, 1000)  # of Felzenszwalb's regions


def flood_fill(image: Image, x: int, y: int) -> dict[int, Mask]:
    """Pixels connected to (x, y) with a Lab colour within a tolerance of the clicked one, after a light blur."""
    lab = cv2.cvtColor(cv2.GaussianBlur(image, (0, 0), 1.0), cv2.COLOR_RGB2LAB)
    found = {}
    for tolerance in TOLERANCES:
        filled = np.zeros((image.shape[0] + 2, image.shape[1] + 2), np.uint8)
        flags = 4 | cv2.FLOODFILL_FIXED_RANGE | cv2.FLOODFILL_MASK_ONLY
        spread = (tolerance,) * 3
        cv2.floodFill(lab, filled, (x, y), (0,), spread, spread, flags)
        found[tolerance] = filled[1:-1, 1:-1] > 0
    return found


def felzenszwalb_regions(image: Image) -> dict[int, NDArray[np.intp]]:
    """Felzenszwalb-Huttenlocher label maps at each scale (sigma .8, at least 50 px)."""
    from skimage.segmentation import felzenszwalb

    segment: Any = felzenszwalb
    return {scale: np.asarray(segment(image, scale=scale, sigma=0.8, min_size=50)) for scale in SCALES}


def grab_cut(image: Image, box: Box) -> Mask:
    """GrabCut from the box, five rounds. The box itself where it finds nothing or has no outside."""
    x0, y0, x1, y1 = box
    everything = filled_box(image, box)
    if x0 <= 0 and y0 <= 0 and x1 >= image.shape[1] and y1 >= image.shape[0]:
        return everything
    labels = np.where(everything, cv2.GC_PR_FGD, cv2.GC_BGD).astype(np.uint8)
    background, foreground = np.zeros((1, 65)), np.zeros((1, 65))
    cv2.setRNGSeed(0)
    bgr = np.ascontiguousarray(image[..., ::-1])
    cv2.grabCut(bgr, labels, (0, 0, 1, 1), background, foreground, 5, cv2.GC_INIT_WITH_MASK)
    found = (labels == cv2.GC_FGD) | (labels == cv2.GC_PR_FGD)
    return np.asarray(found if found.any() else everything)


def filled_box(image: Image, box: Box) -> Mask:
    """The box itself."""
    mask = np.zeros(image.shape[:2], np.bool_)
    mask[box[1] : box[3], box[0] : box[2]] = True
    return mask
