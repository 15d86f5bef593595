"""A COCO dataset of annotations: the annotations, then their images."""

import tempfile
from collections.abc import AsyncGenerator
from typing import IO, Any, Final

import orjson
from sqlalchemy import Row

from exports.annotations.source import AnnotationFormat, AnnotationSource
from exports.annotations.view import file_name, made, segmentation

ABOUT = """A COCO dataset that pycocotools reads, with one category, `object`. Ids count from 1. `file_name` is the
image's URI without its scheme, and `coco_url` the URI. An annotation also has `state`, `stage`, `annotator` and
`clicks`. Without `state`, rejected masks are left out."""
_IN_MEMORY: Final = 256 * 1024
_BLOCK: Final = 64 * 1024


async def coco(source: AnnotationSource) -> AsyncGenerator[bytes, None]:
    """Rows are read once, so that images and annotations agree; images wait in a file until their turn."""
    yield b'{"info":{"description":"maskworks annotations","version":"1.0"},"licenses":[],'
    yield b'"categories":[{"id":1,"name":"object"}],\n"annotations":['
    image, images, count = None, 0, 0
    with tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY) as listed:
        async for row in source.for_training().rows():
            if image != (image := (row.image, row.height, row.width)):
                images += 1
                listed.write((b",\n" if images > 1 else b"") + orjson.dumps(_image(row, images)))
            count += 1
            yield (b",\n" if count > 1 else b"") + orjson.dumps(_annotation(row, count, images))
        yield b'],\n"images":['
        for block in _blocks(listed):
            yield block
    yield b"]}\n"


def _blocks(file: IO[bytes]) -> Any:
    file.seek(0)
    return iter(lambda: file.read(_BLOCK), b"")


def _image(row: Row[Any], number: int) -> dict[str, Any]:
    shown = {"file_name": file_name(row.image), "width": row.width, "height": row.height, "coco_url": row.image}
    return {"id": number, **shown}


def _annotation(row: Row[Any], number: int, image: int) -> dict[str, Any]:
    mask = {"segmentation": segmentation(row), "bbox": row.bbox, "area": row.area, "iscrowd": 0}
    return {"id": number, "image_id": image, "category_id": 1, **mask, **made(row)}


FORMAT = AnnotationFormat("application/json", "coco.json", ABOUT, coco)
