"""The tag directories of TIFF files, which EXIF blocks use too. Reads only what is asked for and trusts nothing."""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, Protocol

from workers.images.raster import MAX_FRAMES

ORIENTATION: Final = 0x0112
_SUBFILE_TYPE: Final = 254
_HEADERS: Final = {b"II*\0": "<", b"MM\0*": ">", b"II+\0": "<", b"MM\0+": ">"}
_MAX_ENTRIES: Final = 4096
_SIZES: Final = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
"""Bytes of one value of each field type."""
_INTEGERS: Final = {1: "B", 3: "H", 4: "I", 16: "Q"}
"""Field types of whole numbers that people write an orientation with: BYTE, SHORT, LONG, LONG8."""


_REDUCED_OR_MASK: Final = 1 | 4
"""Bits of NewSubfileType."""


class Octets(Protocol):
    """Bytes, or an object of which only parts are read."""

    def __len__(self) -> int: ...
    def __getitem__(self, span: slice, /) -> bytes: ...


@dataclass(frozen=True)
class Entry:
    """One tag of a directory. `field` holds the value itself where it is small, else its offset."""

    tag: int
    kind: int
    count: int
    field: bytes


class Directories:
    """The chain of directories in `data`. BigTIFF has wider numbers and is otherwise the same."""

    def __init__(self, data: Octets) -> None:
        """Raises ValueError where `data` does not begin as a TIFF structure does."""
        order = _HEADERS.get(data[0:4])
        if order is None:
            raise ValueError("not a TIFF structure")
        self._data = data
        self._order = order
        self.big = big = data[2:4] in (b"+\0", b"\0+")
        self._count = struct.Struct(order + ("Q" if big else "H"))
        self._entry = struct.Struct(order + ("HHQ8s" if big else "HHI4s"))
        self._offset = struct.Struct(order + ("Q" if big else "I"))
        self._first = 8 if big else 4

    def offsets(self) -> Iterator[int]:
        """The offset of each directory. Ends at a loop, at the end of the data, or after MAX_FRAMES."""
        seen: set[int] = set()
        at = self._first
        while len(seen) < MAX_FRAMES:
            try:
                (offset,) = self._unpacked(self._offset, at)
                if offset == 0 or offset in seen:
                    return
                (entries,) = self._unpacked(self._count, offset)
            except struct.error:
                return
            seen.add(offset)
            yield offset
            at = offset + self._count.size + entries * self._entry.size

    def pages(self) -> list[tuple[int, list[int]]]:
        """The offset of each page, with those of the smaller copies (overviews) that follow it.

        Masks belong to no page. Where every directory calls itself a copy, each counts as a page.
        """
        pages: list[tuple[int, list[int]]] = []
        offsets = list(self.offsets())
        for offset in offsets:
            kind = self._subfile_type(offset)
            if not kind & _REDUCED_OR_MASK:
                pages.append((offset, []))
            elif pages and not kind & 4:
                pages[-1][1].append(offset)
        return pages or [(offset, []) for offset in offsets]

    def _subfile_type(self, offset: int) -> int:
        found = next((entry for entry in self.entries(offset) if entry.tag >= _SUBFILE_TYPE), None)
        return 0 if found is None or found.tag != _SUBFILE_TYPE else self.integer(found) or 0

    def length(self, offset: int) -> int:
        """How many entries the directory at `offset` promises."""
        return int(self._unpacked(self._count, offset)[0])

    def entries(self, offset: int) -> Iterator[Entry]:
        """The entries of the directory at `offset`, up to the first that is cut off."""
        start = offset + self._count.size
        for i in range(min(self.length(offset), _MAX_ENTRIES)):
            try:
                yield Entry(*self._unpacked(self._entry, start + i * self._entry.size))
            except struct.error:
                return

    def is_inside(self, entry: Entry) -> bool:
        """Whether the type is known and the value lies within the data."""
        size = _SIZES.get(entry.kind)
        if size is None:
            return False
        if entry.count * size <= len(entry.field):
            return True
        (offset,) = self._offset.unpack(entry.field)
        return bool(offset + entry.count * size <= len(self._data))

    def _unpacked(self, form: struct.Struct, at: int) -> tuple[Any, ...]:
        return form.unpack(self._data[at : at + form.size])

    def integer(self, entry: Entry) -> int | None:
        """The first value of an entry that holds small whole numbers."""
        kind = _INTEGERS.get(entry.kind)
        if kind is None or entry.count < 1 or entry.count * struct.calcsize(kind) > len(entry.field):
            return None
        (value,) = struct.unpack_from(self._order + kind, entry.field)
        return int(value)


def orientation(exif: bytes | None) -> int:
    """The orientation (1 to 8) in an EXIF block; 1 where there is none or it cannot be read."""
    if not exif:
        return 1
    try:
        directories = Directories(exif.removeprefix(b"Exif\0\0"))
    except ValueError:
        return 1
    for offset in directories.offsets():
        values = [directories.integer(e) for e in directories.entries(offset) if e.tag == ORIENTATION]
        # Only the first directory is about the picture. The second is about its thumbnail.
        return next((value for value in values if value is not None and 1 <= value <= 8), 1)
    return 1
