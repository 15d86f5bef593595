"""A request's body → bytes in memory, within limits: its size, its time, and all bodies together.

The length that a client announces is not trusted. Bytes count as they arrive or are unpacked, until the request ends.
"""

import asyncio
import zlib
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager

from fastapi import Request

from api.refusals import (
    BodiesTooLarge,
    BodyTooLarge,
    BodyTooSlow,
    InvalidBody,
    UnsupportedEncoding,
    UnsupportedMediaType,
)
from api.tenant import Tenant

_GZIP = 16 + zlib.MAX_WBITS
_PIECE = 256 * 1024
LINES = ("application/x-ndjson", "application/jsonl")


class BodyRoom:
    """The memory for all bodies of the process together. One tenant may use half of it."""

    def __init__(self, total: int, largest: int) -> None:
        self._left = total
        self._share = max(total // 2, largest)
        self._of: Counter[str] = Counter()

    def take(self, tenant: Tenant, n: int) -> None:
        """Raises BodiesTooLarge, without taking anything."""
        if n > self._left or self._of[tenant.id] + n > self._share:
            raise BodiesTooLarge("the bodies of other requests use all the memory for bodies: try again later")
        self._left -= n
        self._of[tenant.id] += n

    def give_back(self, tenant: Tenant, n: int) -> None:
        self._left += n
        self._of[tenant.id] -= n
        if not self._of[tenant.id]:
            del self._of[tenant.id]


@asynccontextmanager
async def json_body(
    request: Request, room: BodyRoom, tenant: Tenant, limit: int, seconds: float, *, required: bool = True
) -> AsyncIterator[bytes]:
    """Raises a Problem for a body that is not JSON, too large, too slow, or that finds no memory.

    Where it is not `required`, a request without a body needs no Content-Type.
    """
    if required or _has_body(request):
        _check_media_type(request)
    content = bytearray()
    async with body_into(content.extend, request, room, tenant, limit, seconds):
        whole = bytes(content)
        content.clear()
        yield whole


@asynccontextmanager
async def body_into(
    take: Callable[[bytes], object], request: Request, room: BodyRoom, tenant: Tenant, limit: int, seconds: float
) -> AsyncIterator[None]:
    """Give the body to `take` piece by piece. Its bytes count until the end of the block.

    Raises a Problem for a body that is too large, too slow, or that finds no memory.
    """
    paid = 0
    try:
        try:
            async with asyncio.timeout(seconds):
                async for piece in _pieces(request, limit, _decoder(request)):
                    room.take(tenant, len(piece))
                    paid += len(piece)
                    if paid > limit:
                        raise BodyTooLarge(f"the body has more than {limit} bytes")
                    take(piece)
        except TimeoutError as error:
            raise BodyTooSlow(f"the body did not arrive within {seconds:g} seconds") from error
        yield
    finally:
        room.give_back(tenant, paid)


async def line_pieces(
    request: Request, room: BodyRoom, disk: BodyRoom, tenant: Tenant, limit: int, memory: int
) -> AsyncGenerator[bytes]:
    """A body of lines, piece by piece, each already paid for.

    `memory` is what its reader needs, and each byte may take two on the disk, until the request ends. Raises a Problem
    for a body that is too large, or that finds no room. The caller limits the time.
    """
    unpack, n, on_disk = _decoder(request), 0, 0
    room.take(tenant, memory)
    try:
        async for piece in _pieces(request, limit, unpack):
            n += len(piece)
            if n > limit:
                raise BodyTooLarge(f"the body has more than {limit} bytes")
            disk.take(tenant, 2 * len(piece))
            on_disk += 2 * len(piece)
            yield piece
    finally:
        disk.give_back(tenant, on_disk)
        room.give_back(tenant, memory)


def has_lines(request: Request) -> bool:
    """Whether the body is one JSON value a line."""
    return media_type(request) in LINES


def _has_body(request: Request) -> bool:
    return "transfer-encoding" in request.headers or request.headers.get("content-length", "0") != "0"


def _check_media_type(request: Request) -> None:
    kind = media_type(request)
    if kind != "application/json":
        raise UnsupportedMediaType(f"the Content-Type is {kind or 'missing'}: send application/json")


def media_type(request: Request) -> str:
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def _decoder(request: Request) -> "zlib._Decompress | None":
    coding = ", ".join(request.headers.getlist("content-encoding")).strip().lower()
    if coding in ("", "identity"):
        return None
    if coding not in ("gzip", "x-gzip"):
        raise UnsupportedEncoding(f"the body is encoded as {coding!r}: send it plain, or with Content-Encoding: gzip")
    return zlib.decompressobj(_GZIP)


async def _pieces(request: Request, limit: int, unpack: "zlib._Decompress | None") -> AsyncIterator[bytes]:
    """The body as it comes, unpacked. Its packed bytes are limited here."""
    received = 0
    async for block in request.stream():
        received += len(block)
        if received > limit:
            raise BodyTooLarge(f"the body has more than {limit} bytes")
        if unpack is None:
            yield block
        else:
            for piece in _unpacked(unpack, block):
                yield piece
    if unpack is not None and not unpack.eof:
        raise InvalidBody([{"pointer": "", "detail": "its gzip stream ends too early"}])


def _unpacked(unpack: "zlib._Decompress", block: bytes) -> Iterator[bytes]:
    try:
        while block and not unpack.eof:
            yield unpack.decompress(block, _PIECE)
            block = unpack.unconsumed_tail
    except zlib.error as error:
        raise InvalidBody([{"pointer": "", "detail": f"not a gzip stream: {error}"}]) from error
    if unpack.unused_data or (unpack.eof and block):
        raise InvalidBody([{"pointer": "", "detail": "has data behind its gzip stream"}])
