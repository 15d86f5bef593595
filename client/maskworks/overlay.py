"""Draw masks over their image."""

import colorsys
from collections.abc import Sequence
from pathlib import Path

from maskworks.extras import extra
from maskworks.masks import Mask

_OPACITY = 0.5


def save_overlay(image: Path, masks: Sequence[Mask], target: Path) -> None:
    """Write the image with its masks, larger ones below. Needs the extra `images`.

    The image is turned as its EXIF says, because coordinates are those of the upright image.
    """
    pil = extra("PIL.Image", "Drawing masks", "images")
    ops = extra("PIL.ImageOps", "Drawing masks", "images")
    numpy = extra("numpy", "Drawing masks", "images")
    with pil.open(image) as opened:
        pixels = numpy.asarray(ops.exif_transpose(opened).convert("RGB")).astype(numpy.float32)
    for number, mask in enumerate(sorted(masks, key=lambda mask: -mask.area)):
        where = mask.to_numpy()
        pixels[where] = (1 - _OPACITY) * pixels[where] + _OPACITY * numpy.array(_colour(number))
    pil.fromarray(pixels.round().astype(numpy.uint8)).save(target)


def _colour(number: int) -> tuple[float, float, float]:
    """Neighbours differ: each hue is a golden angle further."""
    red, green, blue = colorsys.hsv_to_rgb(number * 0.618034 % 1, 0.8, 1.0)
    return red * 255, green * 255, blue * 255
