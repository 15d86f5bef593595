"""Draw masks over a picture in a file."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from model.masks.rle import RLE
from workers.images import drawing


def draw(picture: Path, masks: Sequence[RLE], target: Path) -> None:
    """Write a PNG of `picture` with `masks` over it, the largest at the bottom."""
    with Image.open(picture) as opened:
        canvas = np.array(opened.convert("RGB"))
    drawing.draw(canvas, masks)
    Image.fromarray(canvas).save(target)
