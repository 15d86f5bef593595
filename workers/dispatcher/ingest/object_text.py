"""The text of an object, unpacked, from any place on: opened once, and opened again there after a failure."""

import zlib
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

from db.object_uri import ObjectUri
from db.states import JobReason
from workers.dispatcher.ingest.source import InputFailed
from workers.dispatcher.ingest.store_errors import changed, store_errors

PIECE: Final = 256 * 1024
_GZIP: Final = 16 + zlib.MAX_WBITS
_MAGIC: Final = b"\x1f\x8b"


@dataclass(frozen=True)
class Identity:
    """What an object must still be when it is opened again."""

    etag: str
    size: int
    packed: bool


class ObjectText:
    """Its bytes say whether an object is packed by gzip; its name and its content type may lie.

    A packed object is read from its beginning to get to a place in its text, which costs no more than the limit on the
    text's length.
    """

    def __init__(self, s3: Any, uri: ObjectUri, longest: int, offset: int = 0, known: Identity | None = None) -> None:
        """Raises InputFailed, also where the object is not the `known` one any more."""
        self._longest = longest
        self._read = 0
        start = 0 if known is None or known.packed else offset
        with store_errors():
            answer = s3.get_object(**_request(uri, start, known))
        self._body = answer["Body"]
        try:
            size, skip = _size(answer, start, known)
            etag = str(answer.get("ETag", ""))
            if known is not None and (etag, size) != (known.etag, known.size):
                raise changed()
            first = self._raw(2) if start == 0 else b""
            packed = known.packed if known is not None else first == _MAGIC
            self.identity = Identity(etag, size, packed)
            self._pieces = self._unpacked(first) if packed else self._plain(first)
            self._skip(offset if packed else skip)
        except InputFailed:
            self.close()
            raise
        self._read = offset

    def piece(self) -> bytes:
        """The next bytes of the text, at most PIECE of them; empty at its end. Raises InputFailed."""
        piece = next(self._pieces, b"")
        self._read += len(piece)
        if self._read > self._longest:
            detail = f"it has more than {self._longest} bytes (MASKWORKS_MAX_MANIFEST_BYTES): submit several jobs"
            raise InputFailed(JobReason.INPUT_UNREADABLE, detail, for_good=True)
        return piece

    def close(self) -> None:
        """End the connection."""
        with suppress(Exception):
            self._body.close()

    def _skip(self, n: int) -> None:
        while n > 0:
            piece = next(self._pieces, b"")
            if not piece:
                raise changed()
            if len(piece) > n:
                self._pieces = _with(piece[n:], self._pieces)
            n -= len(piece)

    def _raw(self, n: int) -> bytes:
        with store_errors():
            return bytes(self._body.read(n))

    def _plain(self, piece: bytes) -> Iterator[bytes]:
        if piece:
            yield piece
        while piece := self._raw(PIECE):
            yield piece

    def _unpacked(self, packed: bytes) -> Iterator[bytes]:
        """Several gzip streams one after the other are one text. Zeros behind the last are padding."""
        unpack = zlib.decompressobj(_GZIP)
        while packed or (packed := self._raw(PIECE)):
            if unpack.eof:
                packed = packed.lstrip(b"\0")
                if not packed:
                    continue
                unpack = zlib.decompressobj(_GZIP)
            try:
                piece = unpack.decompress(packed, PIECE)
            except zlib.error as error:
                raise _damaged(str(error)) from error
            packed = unpack.unconsumed_tail or unpack.unused_data
            if piece:
                yield piece
        if not unpack.eof:
            raise _damaged("it ends too early")


def _request(uri: ObjectUri, start: int, known: Identity | None) -> dict[str, Any]:
    request: dict[str, Any] = {"Bucket": uri.bucket, "Key": uri.key}
    if uri.version is not None:
        request["VersionId"] = uri.version
    if start:
        request["Range"] = f"bytes={start}-"
    if known is not None and known.etag:
        request["IfMatch"] = known.etag
    return request


def _size(answer: Any, start: int, known: Identity | None) -> tuple[int, int]:
    """The object's size, and how many bytes to skip where the store ignored the range."""
    length = int(answer["ContentLength"])
    if start and known is not None and length == known.size - start:
        return known.size, 0
    return length, start


def _with(first: bytes, rest: Iterator[bytes]) -> Iterator[bytes]:
    yield first
    yield from rest


def _damaged(why: str) -> InputFailed:
    return InputFailed(JobReason.INPUT_UNREADABLE, f"its gzip stream is damaged: {why}", for_good=True)
