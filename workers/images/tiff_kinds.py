"""Which TIFF pages are read: only those that come out exact. Every other is refused with a reason."""

from typing import Any, Final

from tifffile import TiffPage

from db.states import ItemReason
from workers.failures import ItemFailed
from workers.images.ifd import Directories

COMPRESSIONS: Final = frozenset({1, 2, 3, 4, 5, 7, 8, 32773, 32946, 34925, 50000})
"""None, CCITT, LZW, JPEG, deflate, PackBits, LZMA, Zstandard."""
JPEG: Final = 7
_PIXEL_TAGS: Final = frozenset(
    {254, 255, 256, 257, 258, 259, 262, 266, 273, 277, 278, 279, 284, 292, 293, 317, 320}
    | {322, 323, 324, 325, 332, 338, 339, 530, 32997, 32998}
)
"""The tags that say how pixels are stored; any other may be damaged."""
WHITE_IS_ZERO, BLACK_IS_ZERO, RGB, PALETTE, CMYK, YCBCR = 0, 1, 2, 3, 5, 6
_PHOTOMETRICS: Final = frozenset({WHITE_IS_ZERO, BLACK_IS_ZERO, RGB, PALETTE, CMYK, YCBCR})
_WHOLE_NUMBERS: Final = {False: (1, 3, 4), True: (1, 3, 4, 16)}
"""BYTE, SHORT, LONG; in a BigTIFF LONG8 too."""
_MAX_VALUES: Final = 1 << 20
"""A tag of more numbers is refused: tifffile makes a Python object of each."""
_MAX_OCTETS: Final = 1 << 26
"""A tag of more text or bytes is refused too."""


def refused(detail: str) -> ItemFailed:
    return ItemFailed(ItemReason.UNSUPPORTED_FORMAT, f"TIFF: {detail}")


def broken(detail: str) -> ItemFailed:
    return ItemFailed(ItemReason.DECODE_FAILED, f"TIFF: {detail}")


def check_tags(directories: Directories, offset: int) -> None:
    """Refuse a file with an unreadable tag. tifffile would use a default instead, and give other pixels."""
    text_and_bytes = (1, 2, 6, 7)
    entries = list(directories.entries(offset))
    if len(entries) < directories.length(offset):
        raise broken(f"{len(entries)} of {directories.length(offset)} tags are there: the file is cut off or damaged")
    for entry in entries:
        inside = directories.is_inside(entry)
        if entry.tag in _PIXEL_TAGS and not (inside and entry.kind in _WHOLE_NUMBERS[directories.big]):
            raise broken(f"tag {entry.tag} cannot be read: the file is cut off or damaged")
        most = _MAX_OCTETS if entry.kind in text_and_bytes else _MAX_VALUES
        if inside and entry.count > most:
            raise refused(f"tag {entry.tag} has {entry.count} values; at most {most} are read")


def check_kind(page: TiffPage) -> None:
    """Refuse every kind of picture that is not known to come out exact."""
    compression, photometric = int(page.compression), int(page.photometric)
    if compression not in COMPRESSIONS:
        raise refused(f"compression {_name(page.compression)} is not read")
    if photometric not in _PHOTOMETRICS:
        raise refused(f"photometric interpretation {_name(page.photometric)} is not read")
    if page.dtype is None or page.dtype.kind not in "buif" or not isinstance(page.bitspersample, int):
        raise refused(f"samples of {page.bitspersample} bits, format {page.sampleformat}, are not read")
    if page.imagedepth != 1 or page.tiledepth > 1:
        raise refused("volumes (ImageDepth above 1) are not read")
    if photometric == YCBCR and (compression != JPEG or page.samplesperpixel != 3):
        raise refused("YCbCr is read only with JPEG compression and 3 samples")
    if photometric == CMYK and not (page.samplesperpixel >= 4 and page.dtype.kind == "u" and compression != JPEG):
        raise refused("CMYK is read only with whole numbers and without JPEG compression")
    if photometric == CMYK and page.tags.valueof(332, 1) != 1:
        raise refused("separations other than CMYK are not read")
    if photometric == PALETTE and (page.colormap is None or page.bitspersample > 8):
        raise refused("a palette needs a colour map and samples of at most 8 bits")
    if photometric == RGB and page.samplesperpixel < 3:
        raise broken(f"RGB with {page.samplesperpixel} samples")


def _name(value: Any) -> str:
    return str(getattr(value, "name", value))
