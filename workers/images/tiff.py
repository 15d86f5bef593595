"""TIFF: one page of the file, in whole."""

import re
from typing import Final

from db.bands import Bands
from db.states import ItemReason
from model.tiles.grid import Window
from workers.failures import ItemFailed
from workers.images.ifd import Directories
from workers.images.raster import Raster
from workers.images.tiff_page import Page, open_page

SIGNATURES: Final = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_PLANES: Final = re.compile(r"^images=([0-9]{1,9})$", re.MULTILINE)
"""In ImageJ's description. Of a large stack, only the first plane has a directory."""


def read(data: bytes, max_pixels: int) -> Raster:
    """The only page."""
    return read_page(data, max_pixels, None, None)


def read_page(data: bytes, max_pixels: int, wanted: int | None, bands: Bands | None) -> Raster:
    """The page with this number, the first is 1. None: the only one. `bands`: which; None: the first ones."""
    directories = Directories(data)
    pages = directories.pages()
    offset, _ = chosen(pages, wanted)
    with open_page(data, offset, directories, bands, max_pixels, max_pixels) as page:
        check_planes(page, len(pages))
        found, said = page.georeference()
        return Raster(
            samples=page.samples(Window(0, 0, page.width, page.height)),
            largest=page.largest,
            inverted=page.inverted,
            orientation=page.orientation,
            frames=len(pages),
            page=wanted,
            warnings=page.warnings + said,
            georeference=found,
            nodata=page.nodata,
        )


def chosen(pages: list[tuple[int, list[int]]], wanted: int | None) -> tuple[int, list[int]]:
    """Where the wanted page stands, with its overviews. A file of several is never its first one without a word."""
    if not pages:
        raise ItemFailed(ItemReason.DECODE_FAILED, "the TIFF has no directory: it is cut off or damaged")
    count = len(pages)
    if wanted is None and count > 1:
        name = f"name one as #page=1 … #page={count} at the end of the image's URI, an item for each"
        raise ItemFailed(ItemReason.WRONG_PAGE, f"the TIFF has {count} pages: {name}")
    if wanted is not None and wanted > count:
        raise ItemFailed(ItemReason.WRONG_PAGE, f"there is no page {wanted}: the TIFF has {count}")
    return pages[0 if wanted is None else wanted - 1]


def check_planes(page: Page, count: int) -> None:
    """Refuse an ImageJ stack whose other planes cannot be named."""
    found = _PLANES.search(page.description) if page.description.startswith("ImageJ=") else None
    if found and count == 1 and int(found[1]) > 1:
        detail = f"an ImageJ stack of {found[1]} planes in one page: save it as a TIFF with a page for each"
        raise ItemFailed(ItemReason.WRONG_PAGE, detail)
