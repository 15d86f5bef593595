"""Text that comes in pieces → its lines, numbered, in the memory of one line."""

from collections.abc import Iterator
from typing import NamedTuple

BOM = b"\xef\xbb\xbf"


class Line(NamedTuple):
    """A line without its end. `end` is the offset behind it in the text. `text` is None if it is too long."""

    number: int
    end: int
    text: bytes | None

    @property
    def is_blank(self) -> bool:
        return self.text is not None and not self.text.strip()


class Lines:
    """Cuts pieces into lines of at most `longest` bytes. What is longer is dropped as it comes."""

    def __init__(self, longest: int, *, number: int = 0, offset: int = 0) -> None:
        """`number` lines and `offset` bytes have been read before."""
        self._longest = longest
        self.number = number
        self.offset = offset
        self._held = bytearray()
        self._dropped = 0

    def feed(self, piece: bytes) -> Iterator[Line]:
        """The lines that end in this piece."""
        *ended, rest = piece.split(b"\n")
        for text in ended:
            yield self._line(text, 1)
        self._hold(rest)

    def end(self) -> Iterator[Line]:
        """The last line, if the text does not end with a line break."""
        if self._held or self._dropped:
            yield self._line(b"", 0)

    def _line(self, text: bytes, end: int) -> Line:
        if self._held or self._dropped or len(text) > self._longest:
            self._hold(text)
            text = bytes(self._held)
        length = len(text) + self._dropped
        too_long = self._dropped > 0
        self._held, self._dropped = bytearray(), 0
        self.number += 1
        self.offset += length + end
        if self.number == 1:
            text = text.removeprefix(BOM)
        return Line(self.number, self.offset, None if too_long else text.removesuffix(b"\r"))

    def _hold(self, text: bytes) -> None:
        if self._dropped or len(self._held) + len(text) > self._longest:
            self._dropped += len(self._held) + len(text)
            self._held = bytearray()
        else:
            self._held += text
