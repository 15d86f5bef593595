"""JSON lines: one for each annotation."""

from collections.abc import AsyncGenerator

import orjson

from exports.annotations.source import AnnotationFormat, AnnotationSource
from exports.annotations.view import annotation_view

ABOUT = """One line for each annotation, as a list shows it, rejected ones too. The last line is `{"count": n}`. If it
is missing, the file was cut off."""


async def jsonl(source: AnnotationSource) -> AsyncGenerator[bytes, None]:
    count = 0
    async for row in source.rows():
        yield orjson.dumps(annotation_view(row), option=orjson.OPT_UTC_Z) + b"\n"
        count += 1
    yield orjson.dumps({"count": count}) + b"\n"


FORMAT = AnnotationFormat("application/x-ndjson", "jsonl", ABOUT, jsonl)
