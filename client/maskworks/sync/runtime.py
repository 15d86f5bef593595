"""What differs between the two clients beyond `await`. `maskworks.aio.runtime` is its counterpart."""

import time
from collections.abc import Callable, Iterator
from typing import IO, TypeVar

T = TypeVar("T")
PIECE = 256 * 1024


def sleep(seconds: float) -> None:
    time.sleep(seconds)


def in_thread(work: Callable[[], T]) -> T:
    """Nobody else is blocked here."""
    return work()


def pieces(file: IO[bytes]) -> Iterator[bytes]:
    """A file from its beginning."""
    file.seek(0)
    while piece := file.read(PIECE):
        yield piece
