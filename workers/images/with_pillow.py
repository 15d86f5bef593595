"""JPEG, WEBP, BMP, GIF, AVIF and HEIC, by Pillow."""

import io
import re
from collections.abc import Callable
from typing import Final

import numpy as np
from PIL import Image, ImageFile

from db.states import ItemReason
from workers.failures import ItemFailed
from workers.images.gif import count_frames
from workers.images.ifd import orientation
from workers.images.jpeg import without_metadata
from workers.images.raster import MAX_FRAMES, Raster, check_size

_EXIF_ITEM: Final = re.compile(rb"(infe(?:\x02.{3}.{4}|\x03.{3}.{6}))Exif", re.DOTALL)
_MAX_META: Final = 1 << 20
"""Where the boxes that describe an AVIF or HEIC stand."""


def read_jpeg(data: bytes, max_pixels: int) -> Raster:
    stripped, exif = without_metadata(data)
    return _raster(_opener("JPEG")(stripped), max_pixels, exif=exif)


def read_gif(data: bytes, max_pixels: int) -> Raster:
    return _raster(_opener("GIF")(data), max_pixels, frames=count_frames(data))


def read_webp(data: bytes, max_pixels: int) -> Raster:
    return _raster(_opener("WEBP")(data), max_pixels)


def read_bmp(data: bytes, max_pixels: int) -> Raster:
    return _raster(_opener("BMP")(data), max_pixels)


def read_avif(data: bytes, max_pixels: int) -> Raster:
    return _raster(_opener("AVIF")(_without_exif(data)), max_pixels)


def read_heic(data: bytes, max_pixels: int) -> Raster:
    """libheif turns the picture upright itself, so the orientation found is always 1."""
    try:
        from pi_heif import HeifImageFile
    except ImportError as error:
        detail = 'HEIC needs the extra "heic" in the workers: pip install "maskworks[heic]"'
        raise ItemFailed(ItemReason.UNSUPPORTED_FORMAT, detail) from error
    return _raster(HeifImageFile(io.BytesIO(_without_exif(data))), max_pixels)


def _without_exif(data: bytes) -> bytes:
    """Rename the EXIF item of an AVIF or HEIC, so that nobody trips over it.

    Their orientation stands in the properties `irot` and `imir`, and EXIF's is to be ignored (ISO/IEC 23000-22, 7.3.6).
    """
    return _EXIF_ITEM.sub(rb"\1skip", data[:_MAX_META]) + data[_MAX_META:]


def _opener(name: str) -> Callable[[bytes], ImageFile.ImageFile]:
    return lambda data: Image.open(io.BytesIO(data), formats=(name,))


def _raster(
    image: ImageFile.ImageFile, max_pixels: int, *, exif: bytes | None = None, frames: int | None = None
) -> Raster:
    with image:
        check_size(*image.size, max_pixels)
        found = exif or image.info.get("exif")
        count = frames or int(getattr(image, "n_frames", 1))
        image.load()
        pixels = np.asarray(image if image.mode in ("RGB", "L") else image.convert("RGB"))
    return Raster(pixels, orientation=orientation(found), frames=min(MAX_FRAMES, count))
