"""JSON lines as in the format jsonl, with each mask cut into tiles of the image, for images of any size."""

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

import orjson
from sqlalchemy import Row

from db.statements import export
from exports.format import Format
from exports.pages import Source
from exports.views import item_view, mask_views
from model.masks.tiles import SIDE, tiles_of

ABOUT = f"""As `jsonl`, but each mask has `tiles` in place of `segmentation`, so that no reader needs an array of the
size of the image. It is the format for large scans: pycocotools keeps run lengths in 32 bits. It reads masks of images
of more than 4,294,967,295 pixels wrongly, and says nothing.

- The image is divided into tiles of {SIDE} × {SIDE} pixels from its upper left corner. The last of a row or a column
  may be smaller. They do not overlap, and do not depend on the windows that the image was segmented by.
- `tiles` lists those in which the mask has a pixel: `{{"offset": [x, y], "size": [height, width], "counts": …}}`.
  `offset` is the place of the tile's first pixel in the image. `size` and `counts` are compressed run lengths of the
  tile alone.
- All else is about the whole mask and in pixels of the image: `bbox`, `area`, `point_coords`, `crop_box`, the scores.
- A mask without a pixel has no tiles."""


async def tiles(source: Source) -> AsyncGenerator[bytes, None]:
    """Masks are cut in a thread: other answers must not wait for them."""
    async for row in source.rows(export.all_items if source.job.done else export.items_with_result):
        yield await asyncio.to_thread(_line, row)
    yield orjson.dumps({"job": source.about()}) + b"\n"


def _line(row: Row[Any]) -> bytes:
    return orjson.dumps({**item_view(row), "masks": [_cut(mask) for mask in mask_views(row)]}) + b"\n"


def _cut(mask: dict[str, Any]) -> dict[str, Any]:
    found = [{"offset": tile.offset, **tile.rle} for tile in tiles_of(mask["segmentation"])]
    return {("tiles" if name == "segmentation" else name): mask[name] for name in mask} | {"tiles": found}


FORMAT = Format("application/x-ndjson", "tiles.jsonl", ABOUT, tiles)
