"""SA-1B's form: an image with its annotations on each line."""

from collections.abc import AsyncGenerator
from typing import Any

import orjson
from sqlalchemy import Row

from exports.annotations.source import AnnotationFormat, AnnotationSource
from exports.annotations.view import file_name, made, segmentation

ABOUT = """JSON lines. Each image has a line in the form of SA-1B: `{"image": …, "annotations": […]}`. Ids count from 1.
`file_name` is the image's URI without its scheme. An annotation also has `state`, `stage`, `annotator` and `clicks`;
what a person's mask does not have is null. Without `state`, rejected masks are left out. The last line is
`{"count": n}`. If it is missing, the file was cut off."""
_UNKNOWN = dict.fromkeys(("predicted_iou", "stability_score", "point_coords", "crop_box"))


async def sa1b(source: AnnotationSource) -> AsyncGenerator[bytes, None]:
    """An image's line is written mask by mask."""
    image, images, count = None, 0, 0
    async for row in source.for_training().rows():
        count += 1
        if image != (image := (row.image, row.height, row.width)):
            yield b"]}\n" if images else b""
            images += 1
            yield b'{"image":' + orjson.dumps(_image(row, images)) + b',"annotations":['
        else:
            yield b","
        yield orjson.dumps(_annotation(row, count))
    yield (b"]}\n" if images else b"") + orjson.dumps({"count": count}) + b"\n"


def _image(row: Row[Any], number: int) -> dict[str, Any]:
    return {"image_id": number, "width": row.width, "height": row.height, "file_name": file_name(row.image)}


def _annotation(row: Row[Any], number: int) -> dict[str, Any]:
    mask = {"id": number, "segmentation": segmentation(row), "area": row.area, "bbox": row.bbox}
    return {**mask, **_UNKNOWN, **made(row)}


FORMAT = AnnotationFormat("application/x-ndjson", "sa1b.jsonl", ABOUT, sa1b)
