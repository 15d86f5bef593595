"""TIFF: one page of the file, in whole."""

from typing import Final

from db.states import ItemReason
from model.tiles.grid import Window
from workers.failures import ItemFailed
from workers.images.ifd import Directories
from workers.images.raster import Raster
from workers.images.tiff_page import open_page

SIGNATURES: Final = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


def read(data: bytes, max_pixels: int) -> Raster:
    directories = Directories(data)
    pages = directories.pages()
    if not pages:
        raise ItemFailed(ItemReason.DECODE_FAILED, "the TIFF has no directory: it is cut off or damaged")
    with open_page(data, pages[0][0], directories, None, max_pixels, max_pixels) as page:
        found, said = page.georeference()
        return Raster(
            samples=page.samples(Window(0, 0, page.width, page.height)),
            largest=page.largest,
            inverted=page.inverted,
            orientation=page.orientation,
            frames=len(pages),
            warnings=page.warnings + said,
            georeference=found,
        )
