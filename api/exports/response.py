"""The answer that streams an export. Each tenant has a limit, and a client that stops reading is cut off."""

import logging
from collections.abc import AsyncGenerator
from typing import Any

from starlette.middleware.gzip import DEFAULT_EXCLUDED_CONTENT_TYPES, GZipMiddleware
from starlette.responses import StreamingResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from api.http.paging import index_token
from api.http.sending import taken
from api.http.slots import Slots
from api.tenant import Tenant
from exports import parquet
from exports.format import Format
from exports.pages import NoSuchJob, Source

log = logging.getLogger("maskworks.api")

_BLOCK_BYTES = 64 * 1024
_GZIP_LEVEL = 1
"""Masks as text hardly get smaller at higher levels, which take several times as long."""
_COMPRESSED = (*DEFAULT_EXCLUDED_CONTENT_TYPES, parquet.FORMAT.media_type)


class ExportResponse(StreamingResponse):
    """Holds a slot of its tenant until it ends. Build with `start`."""

    def __init__(
        self, blocks: AsyncGenerator[bytes, None], slots: Slots, tenant: Tenant, stall: float, **rest: Any
    ) -> None:
        super().__init__(blocks, **rest)
        self._blocks, self._slots, self._tenant, self._stall = blocks, slots, tenant, stall
        self._state: dict[str, Any] = {}
        self._head = False

    @classmethod
    async def start(
        cls, format: Format, source: Source, slots: Slots, tenant: Tenant, stall: float
    ) -> "ExportResponse":
        """Read the first block, so that a failure until then is answered as a problem.

        A client that takes nothing for `stall` seconds is cut off. Raises TooManyExports.
        """
        name = f"{source.job.id}.{format.suffix}"
        headers = {"Content-Disposition": f'attachment; filename="{name}"', "X-Job-State": source.job.state.value}
        if source.stop is not None and source.stop < source.job.counts["total"]:
            headers["X-Next-Page-Token"] = index_token(source.stop)
        return await cls.begin(format.parts(source), slots, tenant, stall, format.media_type, headers)

    @classmethod
    async def begin(
        cls,
        parts: AsyncGenerator[bytes, None],
        slots: Slots,
        tenant: Tenant,
        stall: float,
        media_type: str,
        headers: dict[str, str],
    ) -> "ExportResponse":
        """As `start`, of any file that is written in parts."""
        slots.take(tenant)
        try:
            blocks = _blocks(parts)
            first = await anext(blocks)
        except BaseException:
            slots.give_back(tenant)
            raise
        return cls(_resumed(first, blocks), slots, tenant, stall, media_type=media_type, headers=headers)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._state = scope.get("state", {})
        self._head = scope.get("head", False)
        app: ASGIApp = super().__call__
        if not self._head:
            app = GZipMiddleware(app, 0, _GZIP_LEVEL, exclude_content_types=_COMPRESSED)
        try:
            await app(scope, receive, send)
        finally:
            self._slots.give_back(self._tenant)
            await self._blocks.aclose()

    async def stream_response(self, send: Send) -> None:
        """A failure sends no last message. The server then closes the connection, and the client sees a cut file."""
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        if self._head:
            await send({"type": "http.response.body", "body": b"", "more_body": False})
            return
        try:
            async for block in self._blocks:
                if not await taken(send, block, self._stall, self._state):
                    return
        except NoSuchJob as error:
            log.warning("an export was cut: %s", error)
            return
        await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _resumed(first: bytes, blocks: AsyncGenerator[bytes, None]) -> AsyncGenerator[bytes, None]:
    try:
        yield first
        async for block in blocks:
            yield block
    finally:
        await blocks.aclose()


async def _blocks(parts: AsyncGenerator[bytes, None]) -> AsyncGenerator[bytes, None]:
    """Parts joined into larger blocks, so that there are fewer writes."""
    held: list[bytes] = []
    size = 0
    async for part in parts:
        held.append(part)
        size += len(part)
        if size >= _BLOCK_BYTES:
            yield b"".join(held)
            held, size = [], 0
    if held:
        yield b"".join(held)
