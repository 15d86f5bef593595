"""What differs between the two clients beyond `await`. `maskworks.sync.runtime` is its counterpart."""

from collections.abc import AsyncIterator, Callable
from typing import IO, TypeVar

T = TypeVar("T")
PIECE = 256 * 1024


async def sleep(seconds: float) -> None:
    import anyio

    await anyio.sleep(seconds)


async def in_thread(work: Callable[[], T]) -> T:
    """Run what blocks without blocking the others."""
    import anyio.to_thread

    return await anyio.to_thread.run_sync(work)


async def pieces(file: IO[bytes]) -> AsyncIterator[bytes]:
    """A file from its beginning."""
    file.seek(0)
    while piece := file.read(PIECE):
        yield piece
