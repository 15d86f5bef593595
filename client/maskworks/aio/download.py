"""An answer that goes into a file. The file gets its name only once it is complete."""

from dataclasses import replace
from pathlib import Path

from maskworks.aio.runtime import sleep
from maskworks.aio.transport import Call, Transport
from maskworks.errors import ConnectionFailed

_TRIES = 6


async def download_pages(transport: Transport, call: Call, folder: Path, suffix: str, page_size: int) -> None:
    """Files of at most so many items, `part-000000.coco.json` and so on. It goes on where a run before has ended."""
    folder.mkdir(parents=True, exist_ok=True)
    note = folder / ".next"
    number, token = _noted(note, call.path)
    while True:
        params = {**call.params, "page_size": page_size, **({"page_token": token} if token else {})}
        token = await download(transport, replace(call, params=params), folder / f"part-{number:06}.{suffix}")
        number += 1
        if token is None:
            note.unlink(missing_ok=True)
            return
        note.write_text(f"{call.path} {number} {token}")


def _noted(note: Path, path: str) -> tuple[int, str | None]:
    """The number and the token of the next page, where a run before has noted them for this job."""
    words = note.read_text().split() if note.exists() else []
    return (int(words[1]), words[2]) if len(words) == 3 and words[0] == path else (0, None)


async def download(transport: Transport, call: Call, target: Path) -> str | None:
    """The token of the next page, if there is one. Raises APIError, and ConnectionFailed after some tries."""
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f"{target.name}.part")
    for tried in range(1, _TRIES + 1):
        try:
            token = await _whole(transport, call, part)
            break
        except ConnectionFailed:
            if tried == _TRIES:
                raise
            await sleep(2.0**tried / 4)
    part.replace(target)
    return token


async def _whole(transport: Transport, call: Call, part: Path) -> str | None:
    async with transport.open(call) as answer:
        with part.open("wb") as file:
            async for piece in answer.aiter_bytes():
                file.write(piece)
    token: str | None = answer.headers.get("X-Next-Page-Token")
    return token
