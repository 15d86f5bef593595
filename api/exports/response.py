"""The answer that streams an export. Each tenant has a limit, and a client that stops reading is cut off."""

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncGenerator, Callable
from typing import Any

from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from api.errors import JobNotFound, TooManyExports
from api.exports.format import Format
from api.exports.pages import Source
from api.tenant import Tenant

log = logging.getLogger("maskworks.api")

_BLOCK_BYTES = 64 * 1024


class Slots:
    """Counts the exports in progress of each tenant, in this process."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._taken: Counter[str] = Counter()

    def take(self, tenant: Tenant) -> None:
        """Raises TooManyExports."""
        if self._taken[tenant.id] >= self._most:
            raise TooManyExports(f"{self._most} downloads are in progress: end one or try again later")
        self._taken[tenant.id] += 1

    def give_back(self, tenant: Tenant) -> None:
        self._taken[tenant.id] -= 1
        if not self._taken[tenant.id]:
            del self._taken[tenant.id]


class ExportResponse(StreamingResponse):
    """Holds a slot of its tenant until it ends. Build with `start`."""

    def __init__(
        self, blocks: AsyncGenerator[bytes, None], slots: Slots, tenant: Tenant, stall: float, **rest: Any
    ) -> None:
        super().__init__(blocks, **rest)
        self._blocks, self._slots, self._tenant, self._stall = blocks, slots, tenant, stall
        self._abort: Callable[[], None] | None = None  # closes the connection at once; only api.server has it
        self._head = False

    @classmethod
    async def start(cls, format: Format, source: Source, slots: Slots, stall: float) -> "ExportResponse":
        """Read the first block, so that a failure until then is answered as a problem.

        A client that takes nothing for `stall` seconds is cut off. Raises TooManyExports.
        """
        slots.take(source.tenant)
        try:
            blocks = _blocks(format.parts(source))
            first = await anext(blocks)
        except BaseException:
            slots.give_back(source.tenant)
            raise
        name = f"{source.job.id}.{format.suffix}"
        headers = {"Content-Disposition": f'attachment; filename="{name}"', "X-Job-State": source.job.state.value}
        resumed = _resumed(first, blocks)
        return cls(resumed, slots, source.tenant, stall, media_type=format.media_type, headers=headers)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._abort = scope.get("state", {}).get("abort")
        self._head = scope.get("head", False)
        try:
            await super().__call__(scope, receive, send)
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
                if not await self._taken(send, block):
                    return
        except JobNotFound as error:
            log.warning("an export was cut: %s", error)
            return
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _taken(self, send: Send, block: bytes) -> bool:
        """Send one block. False if the client took nothing for too long."""
        try:
            async with asyncio.timeout(self._stall):
                await send({"type": "http.response.body", "body": block, "more_body": True})
        except TimeoutError:
            log.warning("an export was cut: its client took nothing for %g s", self._stall)
            if self._abort is not None:
                self._abort()
            return False
        return True


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
