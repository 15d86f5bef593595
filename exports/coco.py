"""A COCO dataset: images, failed items, then annotations."""

from collections.abc import AsyncGenerator
from typing import Any

import orjson

from db.statements import export
from db.web_image import shown_image
from exports.array import array
from exports.failed_items import failed_items
from exports.file_names import FileNames
from exports.format import Format
from exports.pages import Source
from exports.views import mask_views

ABOUT = """A COCO dataset that pycocotools reads. Each item that succeeded is an image. Its id is the item's index, so
ids may have gaps.

- `info` has the job's `job_state`, `done` and `counts`.
- `failed_items`, at the top level, lists the items that failed, with their reasons.
- `file_name` is the object's key. It is unique in the file: if several items have the same key, `#` and the item's
  index come before the extension, for example `a/cat#0.jpg` and `a/cat#7.jpg`. `coco_url` is always the item's image.
- `categories` are the phrases of a text job in their order, from id 1. Other jobs have one category, `object`.
- An image in which nothing was found is listed. A mask without a pixel is left out."""
_KEPT = (
    *("segmentation", "bbox", "area", "predicted_iou", "stability_score", "point_coords", "crop_box"),
    *("prompt_id", "phrase", "score"),
)


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
    yield b',\n"licenses":[],"categories":' + orjson.dumps(_categories(source)) + b',\n"images":['
    async for part in array(_images(source, listed)):
        yield part
    yield b'],\n"failed_items":['
    async for part in array(failed_items(source)):
        yield part
    yield b'],\n"annotations":['
    async for part in array(_annotations(source, listed)):
        yield part
    yield b"]}\n"


def _info(source: Source) -> dict[str, Any]:
    job = source.job
    about = {"job_id": job.id, "job_state": job.state, "done": job.done, "counts": job.counts}
    return {"description": f"maskworks {job.id}", "version": "1.0", **about}


def _categories(source: Source) -> list[dict[str, Any]]:
    return [{"id": i, "name": name} for i, name in enumerate(source.job.phrases or ("object",), 1)]


def category_of(mask: dict[str, Any], source: Source) -> int:
    """The id of a mask's category in `categories`."""
    return 1 if mask["phrase"] is None else source.job.phrases.index(mask["phrase"]) + 1


async def _images(source: Source, listed: _Listed) -> AsyncGenerator[dict[str, Any], None]:
    names = await FileNames.of(source)
    async for row in source.rows(export.succeeded_items):
        listed.add(row.item_index)
        yield {
            "id": row.item_index,
            "file_name": names.name(row),
            "width": row.width,
            "height": row.height,
            "coco_url": shown_image(row.image),
            "custom_id": row.custom_id,
        }


async def _annotations(source: Source, listed: _Listed) -> AsyncGenerator[dict[str, Any], None]:
    next_id = 1  # pycocotools reads the id 0 as no annotation
    async for row in source.rows(export.succeeded_masks):
        masks = mask_views(row) if row.item_index in listed else []
        for mask in masks:
            if mask["area"] > 0:
                common = {"id": next_id, "image_id": row.item_index, "category_id": category_of(mask, source)}
                yield {**common, "iscrowd": 0, **{name: mask[name] for name in _KEPT}}
                next_id += 1


FORMAT = Format("application/json", "coco.json", ABOUT, coco)
