"""The inputs of the benchmarks: photographs of scikit-image, prompts, and thresholds that keep about 100 masks."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import skimage
from numpy.typing import NDArray
from PIL import Image

from model.backends.sam import Segmenter
from model.masks.frames import Pixels
from model.spec import Automatic, Prompt, Prompted

DATA = Path(skimage.__file__).parent / "data"
NAMES = ("motorcycle_left.png", "coffee.png", "astronaut.png")
SURVIVORS = 100
STABLE = 0.5001  # no ratio of small counts: transformers drops a mask that is exactly at the threshold


def photograph(megapixels: float, name: str = NAMES[0]) -> Pixels:
    """uint8 (H, W, 3) of so many megapixels, in the photograph's own proportions."""
    image = Image.open(DATA / name).convert("RGB")
    scale = (megapixels * 1e6 / (image.width * image.height)) ** 0.5
    return np.array(image.resize((round(image.width * scale), round(image.height * scale)), Image.Resampling.BICUBIC))


def clicks(image: Pixels, count: int) -> NDArray[np.float64]:
    """(count, 2) xy anywhere in the image, the same at every call."""
    found: NDArray[np.float64] = np.random.default_rng(0).random((count, 2)) * np.asarray(image.shape[1::-1])
    return found


def points_task(image: Pixels, count: int) -> Prompted:
    """A foreground click a prompt, three masks each."""
    return Prompted(tuple(Prompt(points=((float(x), float(y)),), labels=(1,)) for x, y in clicks(image, count)))


def loose(points: int, most: int = 20000) -> Automatic:
    """points² points and next to no filter; no small regions, which those beside us do not remove."""
    return Automatic(
        points_per_side=points,
        pred_iou_thresh=0.0,
        stability_score_thresh=STABLE,
        min_mask_region_area=0,
        max_masks=most,
    )


def calibrated(s: Segmenter, image: Pixels, points: int) -> tuple[Automatic, int]:
    """A task of points² whose threshold on predicted IoU lets SURVIVORS masks through, and how many it does.

    Suppression goes by predicted IoU descending, so what survives above a threshold does not depend on it. The
    threshold lies between two masks, so that rounding does not decide.
    """
    found = s.run([image], [loose(points)])[0]
    kept = min(SURVIVORS, len(found) - 1)
    threshold = (found[kept - 1].predicted_iou + found[kept].predicted_iou) / 2
    return replace(loose(points), pred_iou_thresh=min(max(threshold, 0.0), 1.0)), kept
