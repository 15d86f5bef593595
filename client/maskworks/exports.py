"""Files of results: their names, and the formats that the client writes itself."""

from pathlib import Path
from typing import Final

SUFFIX: Final = {
    "jsonl": "jsonl",
    "tiles": "tiles.jsonl",
    "coco": "coco.json",
    "coco_results": "coco_results.json",
    "sa1b": "sa1b.jsonl",
    "geojson": "geojson",
    "gpkg": "gpkg",
    "parquet": "parquet",
}


FORMATS: Final = (*SUFFIX, "yolo")


def default_path(job_id: str, format: str) -> Path:
    """`job_….coco.json` in this folder. YOLO is a folder."""
    return Path(f"{job_id}.{SUFFIX.get(format, format)}")
