"""A COCO dataset: images, failed items, then annotations.

Importers find an image by its `file_name`, so every name is unique. It is the object's key. If several items of the job
have that key, `#` and the item's index come before the extension. A key that already ends in `#` and digits gets its
index too.
"""

import posixpath
import re
from array import array
from bisect import bisect_left
from collections.abc import AsyncGenerator
from typing import Any

import orjson
from sqlalchemy import Row

from api.exports.format import Format
from api.exports.pages import Source
from api.items.views import mask_views
from db.statements import export

ABOUT = """A COCO dataset that pycocotools reads. Each item that succeeded is an image. Its id is the item's index, so
ids may have gaps.

- `info` has the job's `job_state`, `done` and `counts`.
- `failed_items`, at the top level, lists the items that failed, with their reasons.
- `file_name` is the object's key. It is unique in the file: if several items have the same key, `#` and the item's
  index come before the extension, for example `a/cat#0.jpg` and `a/cat#7.jpg`. `coco_url` is always the item's image.
- An image in which nothing was found is listed. A mask without a pixel is left out."""
_KEPT = ("segmentation", "bbox", "area", "predicted_iou", "stability_score", "point_coords", "crop_box", "prompt_id")
_NUMBERED = re.compile(r"#[0-9]+\Z")


class _Listed:
    """The indexes of items in `images`, one bit each: only these may have annotations."""

    def __init__(self) -> None:
        self._bits = bytearray()

    def add(self, index: int) -> None:
        self._bits.extend(bytes(max(0, index // 8 + 1 - len(self._bits))))
        self._bits[index // 8] |= 1 << index % 8

    def __contains__(self, index: int) -> bool:
        return index // 8 < len(self._bits) and bool(self._bits[index // 8] & 1 << index % 8)


async def coco(source: Source) -> AsyncGenerator[bytes, None]:
    """Images without a mask are listed. Masks without a pixel are left out."""
    listed = _Listed()
    yield b'{"info":' + orjson.dumps(_info(source))
    yield b',\n"licenses":[],"categories":[{"id":1,"name":"object"}],\n"images":['
    async for part in _array(_images(source, listed)):
        yield part
    yield b'],\n"failed_items":['
    async for part in _array(_failed(source)):
        yield part
    yield b'],\n"annotations":['
    async for part in _array(_annotations(source, listed)):
        yield part
    yield b"]}\n"


def _info(source: Source) -> dict[str, Any]:
    job = source.job
    about = {"job_id": job.id, "job_state": job.state, "done": job.done, "counts": job.counts.model_dump()}
    return {"description": f"maskworks {job.id}", "version": "1.0", **about}


async def _array(entries: AsyncGenerator[dict[str, Any], None]) -> AsyncGenerator[bytes, None]:
    comma = b""
    async for entry in entries:
        yield comma + orjson.dumps(entry)
        comma = b",\n"


async def _images(source: Source, listed: _Listed) -> AsyncGenerator[dict[str, Any], None]:
    shared = array("q", [row.name_hash for row in await source.reader.all(export.shared_names(source.job_id))])
    async for row in source.rows(export.succeeded_items):
        listed.add(row.item_index)
        at = bisect_left(shared, row.name_hash)
        yield {
            "id": row.item_index,
            "file_name": file_name(row.image, row.item_index, at < len(shared) and shared[at] == row.name_hash),
            "width": row.width,
            "height": row.height,
            "coco_url": row.image,
            "custom_id": row.custom_id,
        }


def file_name(image: str, index: int, shared: bool) -> str:
    """The name of an item's image, unique in its job. `shared`: another item has the same key."""
    key = image.removeprefix("s3://").partition("/")[2]
    stem, extension = posixpath.splitext(key)
    return f"{stem}#{index}{extension}" if shared or _NUMBERED.search(stem) else key


async def _failed(source: Source) -> AsyncGenerator[dict[str, Any], None]:
    if source.job.counts.failed == 0:  # the statement would read every result to find none
        return
    async for row in source.rows(export.failed_items):
        yield {"custom_id": row.custom_id, "image": row.image, "reason": row.reason, "detail": row.detail}


async def _annotations(source: Source, listed: _Listed) -> AsyncGenerator[dict[str, Any], None]:
    next_id = 1  # pycocotools reads the id 0 as no annotation
    async for row in source.rows(export.succeeded_masks):
        masks = mask_views(row) if row.item_index in listed else []
        for mask in masks:
            if mask["area"] > 0:
                yield _annotation(mask, next_id, row)
                next_id += 1


def _annotation(mask: dict[str, Any], annotation_id: int, row: Row[Any]) -> dict[str, Any]:
    common = {"id": annotation_id, "image_id": row.item_index, "category_id": 1, "iscrowd": 0}
    return {**common, **{name: mask[name] for name in _KEPT}}


FORMAT = Format("application/json", "coco.json", ABOUT, coco)
