"""A large TIFF, read window by window. What is not asked for is never fetched: `data` may be an `ObjectFile`.

Pixels are those that reading the whole file gives. Only the range of deep samples is found otherwise: from the smaller
copies that the file holds, else from strips or tiles spread over the picture. So it is the same for all windows.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import numpy as np
from numpy.typing import NDArray

from db.bands import Bands
from db.states import Depth, ItemReason
from model.tiles.grid import Window
from workers.failures import ItemFailed
from workers.images.depth import Range, range_of, range_warning, rule, scaled
from workers.images.ifd import Directories, Octets
from workers.images.raster import Said
from workers.images.tiff import SIGNATURES, check_planes, chosen
from workers.images.tiff_page import Page, open_page
from workers.images.turning import stored_window, turned, turned_size

MOST_PIXELS: Final = 1 << 40
"""Of a picture that is read by windows: a million by a million."""
_OVERVIEW: Final = 256
"""A smaller copy needs this many pixels on each side to tell the range."""
_MOST_OF_OVERVIEW: Final = 1 << 22
_PARTS: Final = 32


class Windows:
    """One picture, upright. Build with `open_windows`; for one thread.

    `range`: what black and white are in samples of more than 8 bits. Pass it on, so that no other reader of the same
    picture has to find it.
    """

    def __init__(self, page: Page, found: Range | None, max_pixels: int, pages: int) -> None:
        self._page = page
        self._max_pixels = max_pixels
        self.range = found
        self.orientation = page.orientation
        self.width, self.height = turned_size(page.width, page.height, self.orientation)
        self.bands = page.bands
        self.pages = pages
        self.dtype = page.dtype.name
        self.georeference, self._said = page.georeference()

    @property
    def warnings(self) -> tuple[Said, ...]:
        deep = () if self.range is None else (range_warning(self._page.dtype, self.range),)
        return self._page.warnings + self._said + deep

    def read(self, window: Window) -> NDArray[np.uint8]:
        """(height, width, 3) RGB. `window` lies in the picture. Raises what `decode` does."""
        x, y, width, height = window
        if min(x, y) < 0 or min(width, height) < 1 or x + width > self.width or y + height > self.height:
            raise ValueError(f"{window} is not within {self.width}×{self.height}")
        if width * height > self._max_pixels:
            detail = f"a window of {width}×{height} is {width * height} pixels; at most {self._max_pixels} are decoded"
            raise ItemFailed(ItemReason.IMAGE_TOO_LARGE, detail)
        stored = stored_window(window, self.width, self.height, self.orientation)
        gray_or_rgb = scaled(self._page.samples(stored), self.range, self._page.inverted)
        if gray_or_rgb.ndim == 2:
            gray_or_rgb = np.repeat(gray_or_rgb[:, :, None], 3, axis=2)
        return turned(gray_or_rgb, self.orientation)


@contextmanager
def open_windows(
    data: Octets,
    max_pixels: int,
    depth: Depth = Depth.AUTO,
    known: Range | None = None,
    number: int | None = None,
    bands: Bands | None = None,
) -> Iterator[Windows]:
    """`max_pixels`: of one window. `known`: the range that another reader of the same picture has found. `number`: of
    the page, the first is 1. None: the only one. `bands`: which; None: the first ones.

    Raises ItemFailed, as `decode` does, and UNSUPPORTED_FORMAT where the file is no TIFF.
    """
    if data[0:4] not in SIGNATURES:
        raise ItemFailed(ItemReason.UNSUPPORTED_FORMAT, "only TIFF files are read by windows")
    directories = Directories(data)
    pages = directories.pages()
    offset, overviews = chosen(pages, number)
    with open_page(data, offset, directories, bands, max_pixels, MOST_PIXELS) as page:
        check_planes(page, len(pages))
        found = known
        if known is None and page.dtype != np.uint8:
            ruled = rule(depth, page.georeference()[0])
            found = _range(data, directories, page, overviews, ruled, max_pixels, bands)
        yield Windows(page, found, max_pixels, len(pages))


def _range(
    data: Octets,
    directories: Directories,
    page: Page,
    overviews: list[int],
    depth: Depth,
    max_pixels: int,
    bands: Bands | None,
) -> Range:
    for offset in reversed(overviews):
        with open_page(data, offset, directories, bands, max_pixels, MOST_PIXELS) as smaller:
            if min(smaller.width, smaller.height) < _OVERVIEW or smaller.dtype != page.dtype:
                continue
            if smaller.width * smaller.height <= _MOST_OF_OVERVIEW:
                whole = Window(0, 0, smaller.width, smaller.height)
                return range_of(smaller.samples(whole), page.largest, depth, page.nodata)
    return range_of(page.some(_PARTS), page.largest, depth, page.nodata)
