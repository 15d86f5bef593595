"""The table of export formats. The route, the OpenAPI document and docs/results.md are made from it."""

from typing import Final

from exports import coco, coco_results, geojson, gpkg, jsonl, parquet, sa1b, tiles
from exports.format import Format

FORMATS: Final[dict[str, Format]] = {
    "jsonl": jsonl.FORMAT,
    "tiles": tiles.FORMAT,
    "coco": coco.FORMAT,
    "coco_results": coco_results.FORMAT,
    "sa1b": sa1b.FORMAT,
    "geojson": geojson.FORMAT,
    "gpkg": gpkg.FORMAT,
    "parquet": parquet.FORMAT,
}
"""What a client may ask for by `?format=…`."""

DEFAULT: Final = "jsonl"
