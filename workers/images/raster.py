"""What every reader gives: the samples of one picture as the file stores them."""

from dataclasses import dataclass
from typing import Any, Final

from numpy.typing import NDArray

from db.georeference import Georeference
from db.states import ItemReason, WarningCode
from workers.failures import ItemFailed

MAX_FRAMES: Final = 10_000
"""Pictures in one file are counted up to this number."""

Said = tuple[WarningCode, str]
"""A warning's code and its detail."""


@dataclass(frozen=True)
class Raster:
    """`samples`: (H, W) gray or (H, W, 3) RGB of any number type, not yet turned upright.

    `largest`: the value that the file declares as the brightest. `None`: it declares none. uint8 samples always go to
    255. `inverted`: 0 is white. `orientation`: the EXIF value, 1 where none was found. `georeference`: of the upright
    picture. `page`: which of the pictures in the file it is, where it was asked for by its number.
    `nodata`: the value of samples that are none, as the file declares it.
    """

    samples: NDArray[Any]
    largest: int | None = None
    inverted: bool = False
    orientation: int = 1
    frames: int = 1
    page: int | None = None
    warnings: tuple[Said, ...] = ()
    georeference: Georeference | None = None
    nodata: float | None = None


def check_size(width: int, height: int, max_pixels: int) -> None:
    """Refuse a picture by the size in its header. Every reader calls this before it decodes."""
    if width < 1 or height < 1:
        raise ItemFailed(ItemReason.DECODE_FAILED, f"the header says {width}×{height} pixels")
    if width * height > max_pixels:
        detail = f"{width}×{height} is {width * height} pixels; at most {max_pixels} are decoded"
        raise ItemFailed(ItemReason.IMAGE_TOO_LARGE, detail)
