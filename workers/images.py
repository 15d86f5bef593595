"""Bytes → upright RGB pixels, with every limit checked before the memory is spent."""

import io
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile, ImageOps, UnidentifiedImageError

from db.states import ItemReason, WarningCode
from workers.failures import ItemFailed

FORMATS: Final = ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF")
"""Pillow opens dozens of formats; only these are meant, and only these parsers see foreign bytes."""
_ORIENTATION_TAG: Final = 0x0112


@dataclass(frozen=True)
class Upright:
    """`pixels`: uint8 (H, W, 3) RGB, EXIF orientation applied; `orientation`: the EXIF value found (1 where none).

    `frames`: images in the file, of which the first was taken. `warnings`: what else the item should say.
    """

    pixels: NDArray[np.uint8]
    orientation: int
    frames: int = 1
    warnings: tuple[tuple[WarningCode, str], ...] = ()


def decode(data: bytes, max_pixels: int) -> Upright:
    """Bytes → upright RGB. Alpha is dropped and 16-bit gray is scaled by its high byte, as OpenCV's reader does.

    Raises ItemFailed with UNSUPPORTED_FORMAT, IMAGE_TOO_LARGE (before any pixel is decoded) or DECODE_FAILED.
    """
    if not data:
        raise ItemFailed(ItemReason.UNSUPPORTED_FORMAT, "the object is empty (0 bytes)")
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            _check_size(image, max_pixels)
            image.load()
            orientation = _orientation(image)
            # Transposing, like converting, copies an image also where nothing is to be done.
            return Upright(_rgb(image if orientation == 1 else ImageOps.exif_transpose(image)), orientation)
    except UnidentifiedImageError as error:
        formats = ", ".join(FORMATS)
        raise ItemFailed(ItemReason.UNSUPPORTED_FORMAT, f"not an image of a known format ({formats})") from error
    except Image.DecompressionBombError as error:
        raise ItemFailed(ItemReason.IMAGE_TOO_LARGE, str(error)) from error
    except (OSError, ValueError, SyntaxError, EOFError, IndexError, TypeError, NotImplementedError) as error:
        raise ItemFailed(ItemReason.DECODE_FAILED, f"{type(error).__name__}: {error}") from error


def _check_size(image: ImageFile.ImageFile, max_pixels: int) -> None:
    width, height = image.size
    if width * height > max_pixels:
        detail = f"{width}×{height} is {width * height} pixels; at most {max_pixels} are decoded"
        raise ItemFailed(ItemReason.IMAGE_TOO_LARGE, detail)


def _orientation(image: Image.Image) -> int:
    found = image.getexif().get(_ORIENTATION_TAG, 1)
    return found if isinstance(found, int) and 1 <= found <= 8 else 1


def _rgb(image: Image.Image) -> NDArray[np.uint8]:
    if image.mode.startswith("I;16") or image.mode == "I":
        gray = np.asarray(image).astype(np.int64) >> 8
        image = Image.fromarray(gray.clip(0, 255).astype(np.uint8))
    elif image.mode == "F":
        raise ItemFailed(
            ItemReason.UNSUPPORTED_FORMAT, "32-bit float pixels have no known range: store them as 8 or 16 bit"
        )
    return np.ascontiguousarray(image if image.mode == "RGB" else image.convert("RGB"))
