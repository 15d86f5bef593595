"""What an export format is: a name for people and programs, and the function that writes the file."""

from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass

from exports.pages import Source


class FileTooLarge(Exception):
    """A file that has to be whole before it is sent would take too much disk. Fewer items may fit."""


@dataclass(frozen=True)
class Format:
    """`parts` gives the file in pieces of any size. `about` is Markdown: it goes into /docs and docs/results.md."""

    media_type: str
    suffix: str
    about: str
    parts: Callable[[Source], AsyncGenerator[bytes, None]]
