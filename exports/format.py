"""What an export format is: a name for people and programs, and the function that writes the file."""

from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass

from exports.pages import Source


@dataclass(frozen=True)
class Format:
    """`parts` gives the file in pieces of any size. `about` is Markdown: it goes into /docs and docs/results.md."""

    media_type: str
    suffix: str
    about: str
    parts: Callable[[Source], AsyncGenerator[bytes, None]]
