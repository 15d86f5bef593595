"""Draw masks over their image. Needs the extra `images`."""

import colorsys
import io
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from maskworks.extras import extra
from maskworks.masks import Mask

_OPACITY = 0.5
_GREY = 40


def drawn(image: Any, masks: Iterable[Mask]) -> Any:
    """A PIL image with its masks, larger ones below.

    `image` is a local file, or a PIL image. It is turned as its EXIF says, because coordinates are those of the upright
    image.
    """
    pil = extra("PIL.Image", "Drawing masks", "images")
    ops = extra("PIL.ImageOps", "Drawing masks", "images")
    numpy = extra("numpy", "Drawing masks", "images")
    opened = pil.open(image) if isinstance(image, str | Path) else image
    pixels = numpy.asarray(ops.exif_transpose(opened).convert("RGB")).astype(numpy.float32)
    for number, mask in enumerate(sorted(masks, key=lambda mask: -mask.area)):
        where = mask.to_numpy()
        pixels[where] = (1 - _OPACITY) * pixels[where] + _OPACITY * numpy.array(_colour(number))
    return pil.fromarray(pixels.round().astype(numpy.uint8))


def canvas(size: tuple[int, int]) -> Any:
    """A grey PIL image of [height, width], for masks without their image."""
    return extra("PIL.Image", "Drawing masks", "images").new("RGB", (size[1], size[0]), (_GREY,) * 3)


def png(image: Any) -> bytes:
    """The bytes of a PIL image as PNG."""
    out = io.BytesIO()
    image.save(out, format="PNG")
    return out.getvalue()


def _colour(number: int) -> tuple[float, float, float]:
    """Neighbours differ: each hue is a golden angle further."""
    red, green, blue = colorsys.hsv_to_rgb(number * 0.618034 % 1, 0.8, 1.0)
    return red * 255, green * 255, blue * 255
