"""The table of export formats. The route, the OpenAPI document and docs/results.md are made from it."""

from typing import Final

from exports import coco, coco_results, jsonl, sa1b
from exports.format import Format

FORMATS: Final[dict[str, Format]] = {
    "jsonl": jsonl.FORMAT,
    "coco": coco.FORMAT,
    "coco_results": coco_results.FORMAT,
    "sa1b": sa1b.FORMAT,
}
"""What a client may ask for by `?format=…`."""

PLANNED: Final = frozenset({"geojson", "parquet"})
"""Formats that are not built yet. They are refused as NOT_SUPPORTED, any other name as INVALID_PARAMETER."""

DEFAULT: Final = "jsonl"
