"""A part of an object: which bytes, and of which state of the object."""

import re
from dataclasses import dataclass
from typing import Final, NamedTuple

from db.states import ItemReason
from workers.failures import ItemFailed

_CONTENT_RANGE: Final = re.compile(r"bytes [0-9]{1,18}-[0-9]{1,18}/([0-9]{1,18})")


@dataclass(frozen=True)
class Span:
    """Bytes from `start` up to `stop`. `tag`: what the object must have, as an earlier answer gave it."""

    start: int
    stop: int
    tag: str | None

    @property
    def header(self) -> str:
        """The value of `Range`."""
        return f"bytes={self.start}-{self.stop - 1}"

    def check(self, tag: str | None, shown: str) -> None:
        """Raises ItemFailed where the object has become another one."""
        if self.tag is not None and tag != self.tag:
            raise changed(shown)


class Part(NamedTuple):
    """The bytes of a span. `size` and `tag` are the whole object's."""

    data: bytes
    size: int
    tag: str | None


def whole_size(content_range: str | None) -> int | None:
    """The size of the object, from the `Content-Range` of a part."""
    found = _CONTENT_RANGE.fullmatch(content_range or "")
    return int(found[1]) if found else None


def changed(shown: str) -> ItemFailed:
    return ItemFailed(ItemReason.STORAGE_UNAVAILABLE, f"{shown}: the object changed while it was read")


def no_ranges(shown: str) -> ItemFailed:
    detail = f"{shown}: the server does not answer range requests, so that the image cannot be read in parts"
    return ItemFailed(ItemReason.UNSUPPORTED_FORMAT, detail)
