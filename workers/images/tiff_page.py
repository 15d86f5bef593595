"""One page of a TIFF: found, checked, and read in whole or in part. Tags by tifffile, compressed data by libtiff.

A page comes out exact, or is refused with a reason. It never comes out as other pixels.
"""

import io
import math
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from tifffile import TiffFile, TiffPage

from db.bands import Bands
from db.georeference import Georeference
from db.states import WarningCode
from model.tiles.grid import Window
from workers.images.geotiff import GEO_KEYS, georeference
from workers.images.ifd import ORIENTATION, Directories, Octets
from workers.images.raster import Said, check_size
from workers.images.tiff_kinds import CMYK, PALETTE, WHITE_IS_ZERO, check_kind, check_tags, refused
from workers.images.tiff_segments import Segments

_DESCRIPTION: Final = 270
_NODATA: Final = 42113
_LARGEST: Final = (341, 281)
"""SMaxSampleValue, MaxSampleValue."""
_FLAVOURS: Final[dict[str, Any]] = dict.fromkeys(("is_lsm", "is_scanimage", "is_stk", "is_ndpi", "is_nih"), False)
"""Vendors' layouts for which tifffile reads further pages when it opens a file."""


class Page:
    """Build with `open_page`. `dtype`: of what `samples` gives."""

    def __init__(self, page: TiffPage, data: Octets, bands: Bands | None, max_pixels: int) -> None:
        self._page = page
        self.width, self.height = page.imagewidth, page.imagelength
        assert page.dtype is not None  # `check_kind` saw to it
        self.dtype = np.dtype(np.uint8) if page.photometric == CMYK or page.bitspersample < 8 else page.dtype
        self.inverted = page.photometric == WHITE_IS_ZERO
        self._kept = _kept(page) if bands is None else _chosen(page, bands)
        self._all = bands is not None
        fill = (self.nodata or 0.0) if GEO_KEYS in page.tags else None
        self._segments = Segments(page, data, self._kept, max_pixels, fill)

    def samples(self, window: Window) -> NDArray[Any]:
        """(height, width) or (height, width, 3) of pixels as they are stored, not yet turned upright."""
        return _colours(self._page, self._segments.read(window))

    def some(self, most: int) -> NDArray[Any]:
        """All samples of up to `most` strips or tiles, evenly spread."""
        return np.concatenate([_colours(self._page, part).reshape(-1) for part in self._segments.some(most)])

    @property
    def nodata(self) -> float | None:
        """The value of samples that are none, as GDAL writes it."""
        found = self._page.tags.valueof(_NODATA)
        with suppress(ValueError, TypeError):
            value = float(str(found).strip("\0 "))
            return value if math.isfinite(value) else None
        return None

    @property
    def description(self) -> str:
        found = self._page.tags.valueof(_DESCRIPTION)
        return found if isinstance(found, str) else ""

    @property
    def bands(self) -> int:
        return int(self._page.samplesperpixel)

    @property
    def warnings(self) -> tuple[Said, ...]:
        keep = len(self._kept)
        if self._all or self.bands <= keep:
            return ()
        taken = "the first was taken" if keep == 1 else f"the first {keep} were taken"
        return ((WarningCode.BANDS_IGNORED, f"the file has {self.bands} bands; {taken}"),)

    def georeference(self) -> tuple[Georeference | None, tuple[Said, ...]]:
        """Of the upright picture, and a warning where what the file says cannot be used."""
        return georeference(self._page, self.orientation)

    @property
    def largest(self) -> int | None:
        """The brightest value: of an odd depth, or of a tag that says so."""
        page = self._page
        if self.dtype.kind != "u" or self.dtype.itemsize == 1:
            return None
        if page.bitspersample < self.dtype.itemsize * 8:
            return (1 << page.bitspersample) - 1
        values = (page.tags.valueof(tag) for tag in _LARGEST)
        found = (max(value) if isinstance(value, tuple) else value for value in values if value)
        return next((int(value) for value in found if isinstance(value, int) and value > 255), None)

    @property
    def orientation(self) -> int:
        value = self._page.tags.valueof(ORIENTATION)
        return int(value) if isinstance(value, int) and 1 <= value <= 8 else 1


@contextmanager
def open_page(
    data: Octets, offset: int, directories: Directories, bands: Bands | None, max_pixels: int, most: int
) -> Iterator[Page]:
    """The page whose directory stands at `offset`, of at most `most` pixels, to be read `max_pixels` at a time."""
    check_tags(directories, offset)
    with TiffFile(io.BytesIO(data) if isinstance(data, bytes) else data, **_FLAVOURS) as file:  # type: ignore[arg-type]
        file.filehandle.seek(offset)
        page = TiffPage(file, 0)
        check_size(page.imagewidth, page.imagelength, most)
        check_kind(page)
        yield Page(page, data, bands, max_pixels)


def _kept(page: TiffPage) -> tuple[int, ...]:
    """Gray and palettes: the first. CMYK: four. Else three where there are as many."""
    photometric = int(page.photometric)
    if photometric == CMYK:
        return (0, 1, 2, 3)
    return (0,) if photometric == PALETTE or page.samplesperpixel < 3 else (0, 1, 2)


def _chosen(page: TiffPage, bands: Bands) -> tuple[int, ...]:
    if int(page.photometric) in (PALETTE, CMYK):
        raise refused("bands cannot be chosen of a palette or of CMYK")
    if max(bands) > page.samplesperpixel:
        raise refused(f"there is no band {max(bands)}: the file has {page.samplesperpixel}")
    return tuple(band - 1 for band in bands)


def _colours(page: TiffPage, stored: NDArray[Any]) -> NDArray[Any]:
    """(H, W) or (H, W, 3). Samples of fewer than 8 bits are brought to 255."""
    photometric = int(page.photometric)
    if photometric == PALETTE:
        return _palette(page)[stored[..., 0].astype(np.uint8)]
    bits = page.bitspersample
    if bits < 8:
        largest = (1 << bits) - 1
        stored = ((stored.astype(np.uint16) * 255 + largest // 2) // largest).astype(np.uint8)
    if photometric == CMYK:
        eight = stored if stored.dtype == np.uint8 else (stored >> (bits - 8)).astype(np.uint8)
        return np.asarray(Image.fromarray(np.ascontiguousarray(eight), mode="CMYK").convert("RGB"))
    return stored[..., 0] if stored.shape[2] == 1 else stored


def _palette(page: TiffPage) -> NDArray[np.uint8]:
    """(256, 3). Colour maps are of 16 bits; some writers fill them with 8-bit values."""
    colours = np.asarray(page.colormap).T
    if colours.max() > 255:
        colours = colours >> 8
    full = np.zeros((256, 3), np.uint8)
    full[: len(colours)] = colours[:256]
    return full
