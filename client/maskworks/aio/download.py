"""An answer that goes into a file. The file gets its name only once it is complete."""

from pathlib import Path

from maskworks.aio.runtime import sleep
from maskworks.aio.transport import Call, Transport
from maskworks.errors import ConnectionFailed

_TRIES = 6


async def download(transport: Transport, call: Call, target: Path) -> None:
    """Raises APIError, and ConnectionFailed after some tries."""
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f"{target.name}.part")
    for tried in range(1, _TRIES + 1):
        try:
            await _whole(transport, call, part)
            break
        except ConnectionFailed:
            if tried == _TRIES:
                raise
            await sleep(2.0**tried / 4)
    part.replace(target)


async def _whole(transport: Transport, call: Call, part: Path) -> None:
    async with transport.open(call) as answer:
        with part.open("wb") as file:
            async for piece in answer.aiter_bytes():
                file.write(piece)
