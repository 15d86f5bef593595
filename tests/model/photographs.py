"""Photographs from the scikit-image wheel, and a segmenter whose masks are worth comparing."""

from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import numpy as np
import skimage
from PIL import Image

from bench.blobs import as_blobs
from model.backends.sam import Segmenter
from model.sizes import SIZES, Stage
from model.spec import Automatic
from model.weights.seeding import build

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
    """uint8 (H, W, 3), shrunk to a longest side if one is given."""
    image = Image.open(FOLDER / name).convert("RGB")
    if longest:
        image.thumbnail((longest, longest))
    return np.array(image)


# Not the shipped row: these tests depend on the shapes that random weights give for this one.
ROW = replace(
    SIZES["sam_tiny"], encoder="tiny_vit", image_size=256, embed_dim=160, depth=9, num_heads=5, window_size=8,
    out_chans=128, decoder_heads=4, decoder_mlp_dim=512, iou_head_hidden_dim=128,
    pixel_mean=SIZES["mobile_sam"].pixel_mean, pixel_std=SIZES["mobile_sam"].pixel_std,
    stages=(Stage(32, 1, 0, 0, 4), Stage(64, 2, 2, 8, 2), Stage(128, 4, 4, 16, 2), Stage(160, 2, 5, 8, 1)),
)  # fmt: skip


@lru_cache
def blobs() -> Segmenter:
    """A tiny SAM with random weights that give blobs."""
    segmenter = Segmenter(build(ROW, seed=1), "seed-1", "cpu", "exact")
    view = segmenter.pre(photograph("astronaut.png"), Automatic()).views[0]
    assert view.pixels is not None
    as_blobs(segmenter.sam, segmenter.encoder.normalised([view.pixels]))
    return segmenter
