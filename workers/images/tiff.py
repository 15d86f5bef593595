"""TIFF: tags by tifffile, compressed data by libtiff.

The first page comes out exact, or is refused with a reason. It never comes out as other pixels.

Strips and tiles are decoded one by one into the picture, after their place in the file, their size and, of JPEG, their
own header have been checked. Bands that are not kept are never decoded where they are stored apart.
"""

import io
import math
import struct
from collections.abc import Iterator
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from tifffile import TiffFile, TiffPage

from db.states import ItemReason, WarningCode
from workers.failures import ItemFailed
from workers.images.ifd import ORIENTATION, Directories
from workers.images.raster import Raster, Said, check_size

SIGNATURES: Final = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_COMPRESSIONS: Final = frozenset({1, 2, 3, 4, 5, 7, 8, 32773, 32946, 34925, 50000})
"""None, CCITT, LZW, JPEG, deflate, PackBits, LZMA, Zstandard."""
_JPEG: Final = 7
_FAX: Final = frozenset({2, 3, 4})
_FAX_OPTIONS: Final = (292, 293)
_MINI_HEADER: Final = 256
"""Where the data stands in the small TIFF that is made of a strip or tile."""
_PIXEL_TAGS: Final = frozenset(
    {254, 255, 256, 257, 258, 259, 262, 266, 273, 277, 278, 279, 284, 292, 293, 317, 320}
    | {322, 323, 324, 325, 332, 338, 339, 530, 32997, 32998}
)
"""The tags that say how pixels are stored; any other may be damaged."""
_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB, _PALETTE, _CMYK, _YCBCR = 0, 1, 2, 3, 5, 6
_PHOTOMETRICS: Final = frozenset({_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB, _PALETTE, _CMYK, _YCBCR})
_WHOLE_NUMBERS: Final = {False: (1, 3, 4), True: (1, 3, 4, 16)}
"""BYTE, SHORT, LONG; in a BigTIFF LONG8 too."""
_MAX_VALUES: Final = 1 << 20
"""A tag of more numbers is refused: tifffile makes a Python object of each."""
_BYTES_PER_PIXEL: Final = 12
"""The picture, and one strip or tile, may take this many bytes for each pixel allowed (three 32-bit samples)."""
_SMALL: Final = 1 << 26
_LARGEST: Final = (341, 281)
"""SMaxSampleValue, MaxSampleValue."""
_FLAVOURS: Final[dict[str, Any]] = dict.fromkeys(("is_lsm", "is_scanimage", "is_stk", "is_ndpi", "is_nih"), False)
"""Vendors' layouts for which tifffile reads further pages when it opens a file."""


def read(data: bytes, max_pixels: int) -> Raster:
    directories = Directories(data)
    offsets = list(directories.offsets())
    if not offsets:
        raise ItemFailed(ItemReason.DECODE_FAILED, "the TIFF has no directory: it is cut off or damaged")
    _check_tags(directories, offsets[0])
    with TiffFile(io.BytesIO(data), **_FLAVOURS) as file:
        page = file.pages.first
        check_size(page.imagewidth, page.imagelength, max_pixels)
        _check_kind(page)
        keep = _kept_bands(page)
        _check_memory(page, keep, max_pixels)
        stored = _samples(page, data, keep)
        return Raster(
            samples=_colours(page, stored),
            largest=_largest(page),
            inverted=page.photometric == _WHITE_IS_ZERO,
            orientation=_orientation(page),
            frames=len(offsets),
            warnings=_bands_ignored(page, keep),
        )


def _refused(detail: str) -> ItemFailed:
    return ItemFailed(ItemReason.UNSUPPORTED_FORMAT, f"TIFF: {detail}")


def _broken(detail: str) -> ItemFailed:
    return ItemFailed(ItemReason.DECODE_FAILED, f"TIFF: {detail}")


def _check_tags(directories: Directories, offset: int) -> None:
    """Refuse a file with an unreadable tag. tifffile would use a default instead, and give other pixels."""
    text_and_bytes = (1, 2, 6, 7)
    entries = list(directories.entries(offset))
    if len(entries) < directories.length(offset):
        raise _broken(f"{len(entries)} of {directories.length(offset)} tags are there: the file is cut off or damaged")
    for entry in entries:
        inside = directories.is_inside(entry)
        if entry.tag in _PIXEL_TAGS and not (inside and entry.kind in _WHOLE_NUMBERS[directories.big]):
            raise _broken(f"tag {entry.tag} cannot be read: the file is cut off or damaged")
        if inside and entry.count > _MAX_VALUES and entry.kind not in text_and_bytes:
            raise _refused(f"tag {entry.tag} has {entry.count} values; at most {_MAX_VALUES} are read")


def _check_kind(page: TiffPage) -> None:
    """Refuse every kind of picture that is not known to come out exact."""
    compression, photometric = int(page.compression), int(page.photometric)
    if compression not in _COMPRESSIONS:
        raise _refused(f"compression {_name(page.compression)} is not read")
    if photometric not in _PHOTOMETRICS:
        raise _refused(f"photometric interpretation {_name(page.photometric)} is not read")
    if page.dtype is None or page.dtype.kind not in "buif" or not isinstance(page.bitspersample, int):
        raise _refused(f"samples of {page.bitspersample} bits, format {page.sampleformat}, are not read")
    if page.imagedepth != 1 or page.tiledepth > 1:
        raise _refused("volumes (ImageDepth above 1) are not read")
    if photometric == _YCBCR and (compression != _JPEG or page.samplesperpixel != 3):
        raise _refused("YCbCr is read only with JPEG compression and 3 samples")
    if photometric == _CMYK and not (page.samplesperpixel >= 4 and page.dtype.kind == "u" and compression != _JPEG):
        raise _refused("CMYK is read only with whole numbers and without JPEG compression")
    if photometric == _CMYK and page.tags.valueof(332, 1) != 1:
        raise _refused("separations other than CMYK are not read")
    if photometric == _PALETTE and (page.colormap is None or page.bitspersample > 8):
        raise _refused("a palette needs a colour map and samples of at most 8 bits")
    if photometric == _RGB and page.samplesperpixel < 3:
        raise _broken(f"RGB with {page.samplesperpixel} samples")


def _name(value: Any) -> str:
    return str(getattr(value, "name", value))


def _kept_bands(page: TiffPage) -> int:
    """Gray and palettes: the first. CMYK: four. Else three where there are as many."""
    photometric = int(page.photometric)
    if photometric == _CMYK:
        return 4
    return 1 if photometric == _PALETTE or page.samplesperpixel < 3 else 3


def _bands_ignored(page: TiffPage, keep: int) -> tuple[Said, ...]:
    bands = page.samplesperpixel
    if bands <= keep:
        return ()
    taken = "the first was taken" if keep == 1 else f"the first {keep} were taken"
    return ((WarningCode.BANDS_IGNORED, f"the file has {bands} bands; {taken}"),)


def _segment_shape(page: TiffPage) -> tuple[int, int, int]:
    """Rows, columns and samples of a full strip or tile."""
    samples = page.samplesperpixel if page.planarconfig == 1 else 1
    if page.is_tiled:
        return page.tilelength, page.tilewidth, samples
    return page.rowsperstrip, page.imagewidth, samples


def _check_memory(page: TiffPage, keep: int, max_pixels: int) -> None:
    size = page.dtype.itemsize  # type: ignore[union-attr]  # _check_kind saw to it
    limit = max(_SMALL, _BYTES_PER_PIXEL * max_pixels)
    segment = _segment_shape(page)
    if min(segment) < 1:
        raise _broken(f"strips or tiles of {segment[1]}×{segment[0]} pixels")
    needs = {
        "the picture": page.imagewidth * page.imagelength * keep * size,
        "one strip or tile": math.prod(segment) * size,
    }
    for what, n_bytes in needs.items():
        if n_bytes > limit:
            detail = f"TIFF: {what} takes {n_bytes} bytes; at most {limit} are spent on it"
            raise ItemFailed(ItemReason.IMAGE_TOO_LARGE, detail)


def _samples(page: TiffPage, data: bytes, keep: int) -> NDArray[Any]:
    """(H, W, keep) of the file's own number type."""
    out = np.empty((page.imagelength, page.imagewidth, keep), page.dtype)
    tables = {"jpegtables": page.jpegtables} if page.compression == _JPEG else {}
    plain = _Plain(page)
    for index, encoded in _segments(page, data, keep):
        if page.compression == _JPEG:
            _check_jpeg(encoded, page)
        else:
            encoded = plain(encoded, index)
        decoded, (band, _, top, left, _), _ = page.decode(encoded, index, **tables)
        assert decoded is not None  # only of an absent strip or tile
        part = decoded[0, : page.imagelength - top, : page.imagewidth - left]
        target = out[top : top + part.shape[0], left : left + part.shape[1]]
        if page.planarconfig == 1:
            target[...] = part[..., :keep]
        else:
            target[..., band] = part[..., 0]
    return out


class _Plain:
    """Strips and tiles of a page as the bytes of their samples. From then on the page is an uncompressed one."""

    def __init__(self, page: TiffPage) -> None:
        self._page = page
        self._kind = int(page.compression)
        self._fill_order = int(page.fillorder)
        if self._kind not in (1, _JPEG):
            page.compression, page.fillorder = 1, 1  # before the first use of `page.decode`, which is built by them

    def __call__(self, encoded: bytes, index: int) -> bytes:
        if self._kind == 1:
            return encoded
        _, _, (_, rows, columns, samples) = self._page.decode(None, index)
        if self._kind in _FAX:
            return self._unpacked(encoded, columns, rows, 1)
        return self._unpacked(encoded, -(-columns * samples * self._page.bitspersample // 8), rows, 8)

    def _unpacked(self, encoded: bytes, width: int, rows: int, bits: int) -> bytes:
        """Decompress by libtiff, as the one strip of a gray picture.

        Not imagecodecs: its LZW decoder can be made to read outside its memory.
        """
        tags = {256: width, 257: rows, 258: bits, 259: self._kind, 262: 1, 266: self._fill_order}
        tags |= {273: _MINI_HEADER, 277: 1, 278: rows, 279: len(encoded)}
        tags |= {tag: int(self._page.tags.valueof(tag, 0)) for tag in _FAX_OPTIONS if self._kind in _FAX}
        entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in sorted(tags.items()))
        head = b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + bytes(4)
        with Image.open(io.BytesIO(head.ljust(_MINI_HEADER, b"\0") + encoded), formats=("TIFF",)) as strip:
            return strip.tobytes()


def _segments(page: TiffPage, data: bytes, keep: int) -> Iterator[tuple[int, bytes]]:
    """The strips or tiles of the bands kept, each wholly within the file."""
    rows, columns, _ = _segment_shape(page)
    wanted = -(-page.imagelength // rows) * -(-page.imagewidth // columns)
    if page.planarconfig != 1:
        wanted *= keep
    if min(len(page.dataoffsets), len(page.databytecounts)) < wanted:
        raise _broken(f"{len(page.dataoffsets)} of {wanted} strips or tiles are listed")
    for index in range(wanted):
        start, length = int(page.dataoffsets[index]), int(page.databytecounts[index])
        if start <= 0 or length <= 0:
            raise _broken(f"strip or tile {index} is absent (a sparse file)")
        if start + length > len(data):
            raise _broken(f"strip or tile {index} ends at byte {start + length} of {len(data)}: the file is cut off")
        yield index, data[start : start + length]


def _check_jpeg(encoded: bytes, page: TiffPage) -> None:
    """The stream inside a strip or tile has a size of its own. It must be the one that the tags promise."""
    rows, columns, _ = _segment_shape(page)
    with Image.open(io.BytesIO(encoded), formats=("JPEG",)) as stream:
        width, height = stream.size
    if width > max(columns, 16) or height > max(rows, 16):
        raise _broken(f"a JPEG of {width}×{height} in a strip or tile of {columns}×{rows}")
    if not encoded.rstrip(b"\0").endswith(b"\xff\xd9"):
        raise _broken("a JPEG strip or tile has no end marker")


def _colours(page: TiffPage, stored: NDArray[Any]) -> NDArray[Any]:
    """(H, W) or (H, W, 3). Samples of fewer than 8 bits are brought to 255."""
    photometric = int(page.photometric)
    if photometric == _PALETTE:
        return _palette(page)[stored[..., 0].astype(np.uint8)]
    bits = page.bitspersample
    if bits < 8:
        largest = (1 << bits) - 1
        stored = ((stored.astype(np.uint16) * 255 + largest // 2) // largest).astype(np.uint8)
    if photometric == _CMYK:
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


def _largest(page: TiffPage) -> int | None:
    """The brightest value: of an odd depth, or of a tag that says so."""
    assert page.dtype is not None
    if page.dtype.kind != "u" or page.dtype.itemsize == 1:
        return None
    if page.bitspersample < page.dtype.itemsize * 8:
        return (1 << page.bitspersample) - 1
    values = (page.tags.valueof(tag) for tag in _LARGEST)
    found = (max(value) if isinstance(value, tuple) else value for value in values if value)
    return next((int(value) for value in found if isinstance(value, int) and value > 255), None)


def _orientation(page: TiffPage) -> int:
    value = page.tags.valueof(ORIENTATION)
    return int(value) if isinstance(value, int) and 1 <= value <= 8 else 1
