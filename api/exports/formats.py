"""The table of formats: what a client may ask for, and which file writes it. RLE is never decoded on the way."""

from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass

from api.exports.coco import coco
from api.exports.jsonl import jsonl
from api.exports.pages import Source


@dataclass(frozen=True)
class Format:
    """`parts` gives the file in pieces of any size."""

    media_type: str
    suffix: str
    parts: Callable[[Source], AsyncGenerator[bytes, None]]


FORMATS: dict[str, Format] = {
    "jsonl": Format("application/x-ndjson", "jsonl", jsonl),
    "coco": Format("application/json", "coco.json", coco),
}
"""The formats that are built."""
