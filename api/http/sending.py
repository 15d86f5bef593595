"""Send pieces of an answer to a client that may have stopped reading."""

import asyncio
import logging
from typing import Any

from starlette.types import Send

log = logging.getLogger("maskworks.api")


async def taken(send: Send, block: bytes, seconds: float, state: dict[str, Any]) -> bool:
    """Send one block. False if the client took nothing for so long; its connection is then closed.

    `state` is the scope's. Only `api.server` gives it `abort`, which closes a connection at once.
    """
    try:
        async with asyncio.timeout(seconds):
            await send({"type": "http.response.body", "body": block, "more_body": True})
    except TimeoutError:
        log.warning("an answer was cut: its client took nothing for %g s", seconds)
        abort = state.get("abort")
        if abort is not None:
            abort()
        return False
    return True
