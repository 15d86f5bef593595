"""COCO results: the list that pycocotools' `loadRes` reads beside the COCO dataset of the same job."""

from collections.abc import AsyncGenerator
from typing import Any

from db.statements import export
from exports.array import array
from exports.coco import category_of
from exports.format import Format
from exports.pages import Source
from exports.views import mask_views

ABOUT = """A list of COCO results, one for each mask. pycocotools' `loadRes` reads it beside the `coco` file of the same
job. While the job runs, download this file first: it then names no image that the `coco` file lacks.

- Each entry has `image_id`, `category_id`, `segmentation` and `score`. `image_id` is the item's index, as in `coco`.
- `category_id` is 1, or in a text job the id of the mask's phrase in `coco`.
- `score` is the mask's `predicted_iou`, the model's own estimate of its quality. It is no probability of a class. In a
  text job it is how well the mask matches its phrase.
- There is no `bbox`, because `loadRes` would then set each `area` to that of the box. It computes both from the mask.
- A job without masks gives `[]`, which `loadRes` cannot read.
- A mask without a pixel is left out. Failed items and the job's state are not in the list: see `X-Job-State`.
- The file ends with `]`. If that is missing, it was cut off."""


async def coco_results(source: Source) -> AsyncGenerator[bytes, None]:
    """Masks without a pixel are left out."""
    yield b"["
    async for part in array(_results(source)):
        yield part
    yield b"]\n"


async def _results(source: Source) -> AsyncGenerator[dict[str, Any], None]:
    async for row in source.rows(export.succeeded_masks):
        for mask in mask_views(row):
            if mask["area"] > 0:
                yield {
                    "image_id": row.item_index,
                    "category_id": category_of(mask, source),
                    "segmentation": mask["segmentation"],
                    "score": mask["predicted_iou"] if mask["score"] is None else mask["score"],
                }


FORMAT = Format("application/json", "coco_results.json", ABOUT, coco_results)
