"""The strips and tiles of a TIFF page, decoded one by one into the part of the picture that is wanted.

Each is decoded only after its place in the file, its size and, of JPEG, its own header have been checked. Bands that
are not wanted are never decoded where they are stored apart.
"""

import io
import math
import struct
from collections.abc import Iterator
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from tifffile import TiffPage

from db.states import ItemReason
from model.tiles.grid import Window
from workers.failures import ItemFailed
from workers.images.ifd import Octets
from workers.images.tiff_kinds import JPEG, broken

_FAX: Final = frozenset({2, 3, 4})
_FAX_OPTIONS: Final = (292, 293)
_MINI_HEADER: Final = 256
"""Where the data stands in the small TIFF that is made of a strip or tile."""
_BYTES_PER_PIXEL: Final = 12
"""The picture, and one strip or tile, may take this many bytes for each pixel allowed (three 32-bit samples)."""
_SMALL: Final = 1 << 26


class Segments:
    """`bands` are counted from 0. `fill`: the value of strips and tiles that are absent. None: none may be absent."""

    def __init__(self, page: TiffPage, data: Octets, bands: tuple[int, ...], max_pixels: int, fill: float | None):
        self._page = page
        self._data = data
        self._bands = bands
        self._fill = fill
        self._limit = max(_SMALL, _BYTES_PER_PIXEL * max_pixels)
        self._rows, self._columns, depth = self._shape()
        if min(self._rows, self._columns, depth) < 1:
            raise broken(f"strips or tiles of {self._columns}×{self._rows} pixels")
        self._afford("one strip or tile", math.prod((self._rows, self._columns, depth)))
        self._down, self._across = -(-page.imagelength // self._rows), -(-page.imagewidth // self._columns)
        self._tables = {"jpegtables": page.jpegtables} if page.compression == JPEG else {}
        self._plain = _Plain(page)
        self._apart = page.planarconfig != 1
        wanted = self._down * self._across * (max(bands) + 1 if self._apart else 1)
        if min(len(page.dataoffsets), len(page.databytecounts)) < wanted:
            raise broken(f"{len(page.dataoffsets)} of {wanted} strips or tiles are listed")

    def read(self, window: Window) -> NDArray[Any]:
        """(height, width, bands) of the file's own number type."""
        self._afford("the picture", window.height * window.width * len(self._bands))
        out = np.empty((window.height, window.width, len(self._bands)), self._page.dtype)
        wanted = list(self._inside(window))
        expect = getattr(self._data, "expect", None)
        if expect is not None:
            expect(self._place(index) for index, *_ in wanted)
        for index, top, left, slot in wanted:
            part = self._decoded(index)
            at = slice(max(top, window.y), min(top + len(part), window.y + window.height))
            along = slice(max(left, window.x), min(left + part.shape[1], window.x + window.width))
            found = part[at.start - top : at.stop - top, along.start - left : along.stop - left]
            target = out[at.start - window.y : at.stop - window.y, along.start - window.x : along.stop - window.x]
            if slot is None:
                target[...] = found[..., list(self._bands)]
            else:
                target[..., slot] = found[..., 0]
        return out

    def some(self, most: int) -> Iterator[NDArray[Any]]:
        """Up to `most` whole strips or tiles of each band, evenly spread over the picture."""
        count = self._down * self._across
        for number in sorted({i * count // most for i in range(most)} if count > most else range(count)):
            top, left = number // self._across * self._rows, number % self._across * self._columns
            width = min(self._columns, self._page.imagewidth - left)
            yield self.read(Window(left, top, width, min(self._rows, self._page.imagelength - top)))

    def _shape(self) -> tuple[int, int, int]:
        """Rows, columns and samples of a full strip or tile."""
        page = self._page
        samples = page.samplesperpixel if page.planarconfig == 1 else 1
        if page.is_tiled:
            return page.tilelength, page.tilewidth, samples
        return page.rowsperstrip, page.imagewidth, samples

    def _afford(self, what: str, samples: int) -> None:
        n_bytes = samples * self._page.dtype.itemsize  # type: ignore[union-attr]  # `check_kind` saw to it
        if n_bytes > self._limit:
            detail = f"TIFF: {what} takes {n_bytes} bytes; at most {self._limit} are spent on it"
            raise ItemFailed(ItemReason.IMAGE_TOO_LARGE, detail)

    def _inside(self, window: Window) -> Iterator[tuple[int, int, int, int | None]]:
        """Index, top and left of what meets the window. Where bands are apart, the place of its band in the result."""
        rows = range(window.y // self._rows, -(-(window.y + window.height) // self._rows))
        columns = range(window.x // self._columns, -(-(window.x + window.width) // self._columns))
        planes = list(enumerate(self._bands)) if self._apart else [(None, 0)]
        for slot, plane in planes:
            for row in rows:
                for column in columns:
                    index = (plane * self._down + row) * self._across + column
                    yield index, row * self._rows, column * self._columns, slot

    def _place(self, index: int) -> tuple[int, int]:
        start = int(self._page.dataoffsets[index])
        return start, start + int(self._page.databytecounts[index])

    def _encoded(self, index: int) -> bytes | None:
        """The bytes of a strip or tile, wholly within the file. None: it is absent, and may be."""
        start, stop = self._place(index)
        if (start, stop) == (0, 0) and self._fill is not None:
            return None
        if start <= 0 or stop <= start:
            raise broken(f"strip or tile {index} is absent (a sparse file)")
        if stop > len(self._data):
            raise broken(f"strip or tile {index} ends at byte {stop} of {len(self._data)}: the file is cut off")
        if stop - start > 2 * self._limit:
            raise ItemFailed(ItemReason.IMAGE_TOO_LARGE, f"TIFF: strip or tile {index} has {stop - start} bytes")
        return self._data[start:stop]

    def _decoded(self, index: int) -> NDArray[Any]:
        """(rows, columns, samples), without what lies outside the picture."""
        page = self._page
        encoded = self._encoded(index)
        if encoded is None:
            _, (_, _, top, left, _), (_, rows, columns, samples) = page.decode(None, index)
            whole = np.full((rows, columns, samples), np.float64(self._fill).astype(page.dtype), page.dtype)
            return whole[: page.imagelength - top, : page.imagewidth - left]
        if page.compression == JPEG:
            self._check_jpeg(encoded)
        else:
            encoded = self._plain(encoded, index)
        decoded, (_, _, top, left, _), _ = page.decode(encoded, index, **self._tables)
        assert decoded is not None  # only of an absent strip or tile
        found: NDArray[Any] = decoded[0, : page.imagelength - top, : page.imagewidth - left]
        return found

    def _check_jpeg(self, encoded: bytes) -> None:
        """The stream inside a strip or tile has a size of its own. It must be the one that the tags promise."""
        with Image.open(io.BytesIO(encoded), formats=("JPEG",)) as stream:
            width, height = stream.size
        if width > max(self._columns, 16) or height > max(self._rows, 16):
            raise broken(f"a JPEG of {width}×{height} in a strip or tile of {self._columns}×{self._rows}")
        if not encoded.rstrip(b"\0").endswith(b"\xff\xd9"):
            raise broken("a JPEG strip or tile has no end marker")


class _Plain:
    """Strips and tiles of a page as the bytes of their samples. From then on the page is an uncompressed one."""

    def __init__(self, page: TiffPage) -> None:
        self._page = page
        self._kind = int(page.compression)
        self._fill_order = int(page.fillorder)
        if self._kind not in (1, JPEG):
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
