"""Read images by windows, for the fetch stage: a window of one, or all of one that fits into a window.

A TIFF is read by range. Of any other format the whole image is fetched and decoded within the limits of any image, once
for all of its windows that are asked for within a while.
"""

import threading
import time
from collections.abc import Callable
from typing import Final
from weakref import WeakValueDictionary

import numpy as np

from db.image_page import page_of
from db.states import ItemReason
from model.masks.frames import Pixels
from model.tiles.grid import Window
from workers.failures import ItemFailed
from workers.images import decode
from workers.images.tiff import SIGNATURES
from workers.images.windows import Windows, open_windows
from workers.pipeline.ticket import Picture, Region, Ticket
from workers.storage.object_file import ObjectFile
from workers.storage.reading import Parts, Reading
from workers.storage.span import changed

_KEPT_SECONDS: Final = 20.0
_HINT: Final = "; a tiled TIFF is read by windows and may be larger"


_Key = tuple[object, ...]
"""What a decoded image depends on."""


class Pictures:
    """Shared by the fetch threads of a process. It keeps one decoded image, and decodes one at a time.

    Each image has a lock of its own while it is fetched: its other windows wait, and those of other images do not.
    """

    def __init__(self, max_pixels: int) -> None:
        self._max_pixels = max_pixels
        self._lock = threading.Lock()
        self._fetching: WeakValueDictionary[_Key, threading.Lock] = WeakValueDictionary()
        self._of: _Key | None = None
        self._pixels: Pixels | None = None
        self._used = 0.0

    def by_range(
        self, ticket: Ticket, parts: Parts, known: Callable[[str], bool] | None
    ) -> tuple[Picture | None, str | None] | None:
        """The picture and the tag of a TIFF. No picture: `known` knows it. None: it is not read by windows."""
        file = _file(parts)
        if file is None or file[0:4] not in SIGNATURES:
            return None
        if known is not None and file.tag is not None and known(file.tag):
            return None, file.tag
        region = ticket.region
        _check_same(region, file.tag, ticket.uri)
        found = None if region is None else region.black_white
        page = page_of(ticket.uri)
        with open_windows(file, self._max_pixels, ticket.depth, found, page, ticket.bands) as windows:
            return _read(windows, ticket), file.tag

    def of_whole(self, ticket: Ticket, region: Region, reading: Reading) -> tuple[Picture, str | None]:
        """A window of an image that is not read by windows."""
        key = ticket.uri, region.tag, ticket.depth, ticket.bands
        with self._lock:
            fetching = self._fetching.setdefault(key, threading.Lock())
        with fetching:
            pixels = self._kept(key)
            if pixels is None:
                data = reading.read() or b""
                _check_same(region, reading.tag, ticket.uri)
                pixels = self._decoded(key, data, ticket)
        return _cut(pixels, region, ticket.uri), region.tag

    def _kept(self, key: _Key) -> Pixels | None:
        with self._lock:
            if self._of != key:
                return None
            self._used = time.monotonic()
            return self._pixels

    def _decoded(self, key: _Key, data: bytes, ticket: Ticket) -> Pixels:
        with self._lock:
            self._of = self._pixels = None
            pixels = decode(data, self._max_pixels, ticket.depth, page_of(ticket.uri), ticket.bands).pixels
            self._of, self._pixels, self._used = key, pixels, time.monotonic()
            return pixels

    def forget(self) -> None:
        """Free the decoded image if nobody has asked for it for a while."""
        if (
            self._of is not None
            and time.monotonic() - self._used > _KEPT_SECONDS
            and self._lock.acquire(blocking=False)
        ):
            self._of = self._pixels = None
            self._lock.release()


def larger(height: int, width: int, ticket: Ticket) -> bool:
    """Whether an image is to be segmented by windows."""
    return ticket.tiling is not None and max(height, width) > ticket.tiling.size


def hinted(error: ItemFailed, ticket: Ticket) -> ItemFailed:
    """What to do about an image that is too large to be decoded whole."""
    if error.reason is not ItemReason.IMAGE_TOO_LARGE or (ticket.tiling is None and ticket.region is None):
        return error
    return ItemFailed(error.reason, error.detail + _HINT)


def _file(parts: Parts) -> ObjectFile | None:
    """None where the server does not answer range requests."""
    try:
        return ObjectFile(parts)
    except ItemFailed as error:
        if error.reason is ItemReason.UNSUPPORTED_FORMAT:
            return None
        raise


def _check_same(region: Region | None, tag: str | None, uri: str) -> None:
    """Tiles of two objects must not become one result."""
    if region is not None and region.tag is not None and tag != region.tag:
        raise changed(uri)


def _read(windows: Windows, ticket: Ticket) -> Picture:
    region = ticket.region
    wanted = Window(0, 0, windows.width, windows.height) if region is None else region.window
    to_be_cut = region is None and larger(windows.height, windows.width, ticket)
    return Picture(
        pixels=None if to_be_cut else windows.read(wanted),
        height=wanted.height,
        width=wanted.width,
        orientation=windows.orientation,
        frames=windows.pages,
        georeference=windows.georeference,
        warnings=windows.warnings,
        black_white=windows.range,
    )


def _cut(pixels: Pixels, region: Region, uri: str) -> Picture:
    window = region.window
    height, width = pixels.shape[:2]
    if window.right > width or window.bottom > height:
        raise changed(uri)
    cut = np.ascontiguousarray(pixels[window.y : window.bottom, window.x : window.right])
    return Picture(cut, window.height, window.width)
