"""The table of formats of annotations. The route and the OpenAPI document are made from it."""

from typing import Final

from exports.annotations import coco, jsonl, sa1b
from exports.annotations.source import AnnotationFormat

ANNOTATION_FORMATS: Final[dict[str, AnnotationFormat]] = {
    "jsonl": jsonl.FORMAT,
    "coco": coco.FORMAT,
    "sa1b": sa1b.FORMAT,
}
