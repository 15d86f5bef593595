"""Photographs that ship inside the scikit-image wheel, and a segmenter whose masks are worth comparing."""

from functools import lru_cache
from pathlib import Path

import numpy as np
import skimage
import torch
from PIL import Image

from bench.blobs import as_blobs
from model.embeddings import stacked
from model.segmenter import Segmenter
from model.spec import Automatic

FOLDER = Path(skimage.__file__).parent / "data"
NAMES = (
    "astronaut.png",
    "brick.png",
    "camera.png",
    "cell.png",
    "chelsea.png",
    "clock_motion.png",
    "coffee.png",
    "coins.png",
    "color.png",
    "grass.png",
    "gravel.png",
    "horse.png",
    "hubble_deep_field.jpg",
    "ihc.png",
    "moon.png",
    "motorcycle_left.png",
    "motorcycle_right.png",
    "page.png",
    "retina.jpg",
    "rocket.jpg",
)


@lru_cache
def photograph(name: str, longest: int = 0) -> np.ndarray:
    """uint8 (H, W, 3), made smaller to a longest side where one is given."""
    image = Image.open(FOLDER / name).convert("RGB")
    if longest:
        image.thumbnail((longest, longest))
    return np.array(image)


@lru_cache
def blobs() -> Segmenter:
    """sam_tiny with random weights that answer with blobs."""
    segmenter = Segmenter.seeded("sam_tiny", seed=1)
    view = segmenter.pre(photograph("astronaut.png"), Automatic()).views[0]
    assert view.pixels is not None
    side = segmenter.sam.row.image_size
    as_blobs(segmenter.sam, stacked([view.pixels], side, segmenter._mean, segmenter._std))
    torch.set_num_threads(1)  # two cores shared with the rest of a test run: a second thread only waits
    return segmenter
