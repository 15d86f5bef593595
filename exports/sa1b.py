"""SA-1B's form: an image with its annotations on each line, then failed items, then the job."""

from collections.abc import AsyncGenerator
from typing import Any

import orjson
from sqlalchemy import Row

from db.statements import export
from exports.failed_items import failed_items
from exports.file_names import FileNames
from exports.format import Format
from exports.pages import Source
from exports.views import mask_views

ABOUT = """JSON lines. Each item that succeeded has a line in the form of SA-1B, which has one such JSON file for each
image: `{"image": …, "annotations": […]}`.

- `image` has `image_id` (the item's index), `width`, `height` and `file_name`, the same unique name as in `coco`.
- An annotation has `id`, `segmentation` (compressed run lengths), `area`, `bbox`, `predicted_iou`, `stability_score`,
  `point_coords` and `crop_box`. Ids count from 1 through the file. `point_coords` is null for a prompted mask.
- An annotation of a text job also has `phrase` and `score`.
- An image in which nothing was found has no annotations. A mask without a pixel is left out.
- Each item that failed has a line `{"failed_item": …}` with its reason, after the images.
- The last line describes the job, as `{"job": …}`. If it is missing, the file was cut off."""
_KEPT = ("segmentation", "area", "bbox", "predicted_iou", "stability_score", "point_coords", "crop_box")


async def sa1b(source: Source) -> AsyncGenerator[bytes, None]:
    """Masks without a pixel are left out."""
    names = await FileNames.of(source)
    next_id = 1
    async for row in source.rows(export.succeeded_masks):
        masks = [mask for mask in mask_views(row) if mask["area"] > 0]
        kept = (*_KEPT, *(("phrase", "score") if source.job.phrases else ()))
        annotations = [{"id": next_id + i, **{name: mask[name] for name in kept}} for i, mask in enumerate(masks)]
        yield orjson.dumps({"image": _image(row, names), "annotations": annotations}) + b"\n"
        next_id += len(masks)
    async for item in failed_items(source):
        yield orjson.dumps({"failed_item": item}) + b"\n"
    yield orjson.dumps({"job": source.about()}) + b"\n"


def _image(row: Row[Any], names: FileNames) -> dict[str, Any]:
    return {"image_id": row.item_index, "width": row.width, "height": row.height, "file_name": names.name(row)}


FORMAT = Format("application/x-ndjson", "sa1b.jsonl", ABOUT, sa1b)
