"""An object as a file: any part of it is read by range, through a small cache of blocks."""

import io
from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import Final

from db.states import ItemReason
from workers.failures import ItemFailed
from workers.storage.span import Part

BLOCK: Final = 256 * 1024
_BLOCKS: Final = 128
"""Blocks in memory: 32 MiB of each open object."""
_RUN: Final = 32
"""Blocks of one request: 8 MiB."""

Fetch = Callable[[int, int, str | None], Part]
"""Start and end of a part, and the tag that the object must have. None: whatever it has."""


class ObjectFile(io.RawIOBase):
    """A seekable file over one state of one object, for one thread.

    The first answer says how long the object is and which tag it has. Every later one must have the same tag, so that
    parts of two objects are never put together. Errors are those of `Reading.read`.
    """

    def __init__(self, fetch: Fetch) -> None:
        super().__init__()
        self._fetch = fetch
        self._at = 0
        self._blocks: OrderedDict[int, bytes] = OrderedDict()
        first = fetch(0, BLOCK, None)
        self.tag = first.tag
        self._size = first.size
        self._keep(0, first.data)
        if len(first.data) != min(BLOCK, self._size):
            raise _changed()

    def __len__(self) -> int:
        return self._size

    def __getitem__(self, span: slice) -> bytes:
        """`file[start:stop]`, as of bytes. Needs both ends, and neither moves the position."""
        start, stop = max(0, span.start), min(span.stop, self._size)
        if start >= stop:
            return b""
        first, last = start // BLOCK, (stop - 1) // BLOCK
        if last - first < _RUN:
            self._load(range(first, last + 1))
            joined = b"".join(self._block(number) for number in range(first, last + 1))
            return joined[start - first * BLOCK : stop - first * BLOCK]
        return b"".join(self[at : min(at + _RUN * BLOCK // 2, stop)] for at in range(start, stop, _RUN * BLOCK // 2))

    def expect(self, spans: Iterable[tuple[int, int]]) -> None:
        """Fetch what these spans (start, stop) lie in, neighbours by one request, as far as the cache holds them."""
        wanted: dict[int, None] = {}
        for start, stop in spans:
            inside = range(max(0, start) // BLOCK, -(-min(stop, self._size) // BLOCK))
            wanted |= dict.fromkeys(inside[: _BLOCKS // 2])
            if len(wanted) >= _BLOCKS // 2:
                break
        self._load(sorted(wanted)[: _BLOCKS // 2])

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._at = max(0, {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence] + offset)
        return self._at

    def read(self, size: int | None = -1) -> bytes:
        stop = self._size if size is None or size < 0 else self._at + size
        data = self[self._at : stop]
        self._at += len(data)
        return data

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]  # typeshed's Buffer has no length
        data = self.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def _block(self, number: int) -> bytes:
        if number not in self._blocks:
            self._load([number])
        self._blocks.move_to_end(number)
        return self._blocks[number]

    def _load(self, numbers: Iterable[int]) -> None:
        """Fetch the blocks that are not there, each run of neighbours by one request."""
        run: list[int] = []
        for number in numbers:
            if number in self._blocks:
                self._blocks.move_to_end(number)
                continue
            if run and (number != run[-1] + 1 or len(run) == _RUN):
                self._load_run(run)
                run = []
            run.append(number)
        if run:
            self._load_run(run)

    def _load_run(self, run: list[int]) -> None:
        start, stop = run[0] * BLOCK, min((run[-1] + 1) * BLOCK, self._size)
        part = self._fetch(start, stop, self.tag)
        if len(part.data) != stop - start or part.size != self._size:
            raise _changed()
        self._keep(run[0], part.data)

    def _keep(self, number: int, data: bytes) -> None:
        for at in range(0, len(data), BLOCK):
            self._blocks[number + at // BLOCK] = data[at : at + BLOCK]
        while len(self._blocks) > _BLOCKS:
            self._blocks.popitem(last=False)


def _changed() -> ItemFailed:
    return ItemFailed(
        ItemReason.STORAGE_UNAVAILABLE, "the object changed while it was read, or parts of it are missing"
    )
