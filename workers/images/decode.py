"""From bytes to pixels: recognise the format, read, scale to 8 bits, turn upright."""

import struct
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from db.bands import Bands
from db.georeference import Georeference
from db.states import Depth, ItemReason, WarningCode
from workers.failures import ItemFailed
from workers.images.depth import to_bytes
from workers.images.formats import FORMATS, Format
from workers.images.raster import MAX_FRAMES, Raster, Said
from workers.images.turning import turned

_BROKEN: Final = (
    OSError,
    ValueError,
    ArithmeticError,
    LookupError,
    TypeError,
    AttributeError,
    SyntaxError,
    EOFError,
    RuntimeError,
    AssertionError,
    struct.error,
)
"""What parsers raise for foreign bytes. MemoryError is not among them: it has a reason of its own."""


@dataclass(frozen=True)
class Upright:
    """`pixels`: uint8 (H, W, 3) RGB, EXIF orientation applied; `orientation`: the EXIF value found (1 where none).

    `frames`: images in the file, of which the first was taken. `warnings`: what else the item should say.
    """

    pixels: NDArray[np.uint8]
    orientation: int
    frames: int = 1
    warnings: tuple[Said, ...] = ()
    georeference: Georeference | None = None


def decode(
    data: bytes, max_pixels: int, depth: Depth = Depth.AUTO, page: int | None = None, bands: Bands | None = None
) -> Upright:
    """Bytes → upright RGB. `docs/formats.md` says what is read and what is lost.

    Raises ItemFailed with UNSUPPORTED_FORMAT, WRONG_PAGE, IMAGE_TOO_LARGE (before any pixel is decoded) or
    DECODE_FAILED, and MemoryError.
    """
    if not data:
        raise ItemFailed(ItemReason.UNSUPPORTED_FORMAT, "the object is empty (0 bytes)")
    kind = _recognise(data)
    try:
        raster = _read(kind, data, max_pixels, page, bands)
        gray_or_rgb, scaled = to_bytes(raster, depth)
    except Image.DecompressionBombError as error:
        raise ItemFailed(ItemReason.IMAGE_TOO_LARGE, str(error)) from error
    except UnidentifiedImageError as error:
        raise ItemFailed(ItemReason.DECODE_FAILED, f"{kind.name}: the header cannot be read") from error
    except _BROKEN as error:
        raise ItemFailed(ItemReason.DECODE_FAILED, f"{kind.name}: {type(error).__name__}: {error}") from error
    upright = turned(_rgb(gray_or_rgb), raster.orientation)
    said = raster.warnings + scaled + _frames(raster)
    return Upright(upright, raster.orientation, raster.frames, said, raster.georeference)


def _read(kind: Format, data: bytes, max_pixels: int, page: int | None, bands: Bands | None) -> Raster:
    if kind.read_page is not None:
        return kind.read_page(data, max_pixels, page, bands)
    if page is not None:
        raise ItemFailed(ItemReason.WRONG_PAGE, f"a {kind.name} file has no pages: leave #page={page} out")
    if bands is not None:
        raise ItemFailed(ItemReason.UNSUPPORTED_FORMAT, f"bands of a {kind.name} file cannot be chosen, of a TIFF only")
    return kind.read(data, max_pixels)


def _recognise(data: bytes) -> Format:
    found = next((kind for kind in FORMATS if kind.recognises(data)), None)
    if found is None:
        names = ", ".join(kind.name for kind in FORMATS)
        raise ItemFailed(ItemReason.UNSUPPORTED_FORMAT, f"not an image of a known format ({names})")
    return found


def _frames(raster: Raster) -> tuple[Said, ...]:
    if raster.frames < 2 or raster.page is not None:
        return ()
    count = f"at least {MAX_FRAMES}" if raster.frames == MAX_FRAMES else str(raster.frames)
    return ((WarningCode.FRAMES_IGNORED, f"the file holds {count} images; the first was taken"),)


def _rgb(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.repeat(pixels[:, :, None], 3, axis=2) if pixels.ndim == 2 else pixels
