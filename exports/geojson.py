"""GeoJSON: each mask as a feature with polygons along the edges of its pixels."""

import asyncio
from collections.abc import AsyncGenerator
from typing import Any, Final

import orjson
from sqlalchemy import Row

from db.statements import export
from db.web_image import shown_image
from exports.array import array
from exports.failed_items import failed_items
from exports.format import Format
from exports.pages import Source
from exports.views import mask_views
from model.masks.outlines import Polygon, polygons

ABOUT = """A GeoJSON feature collection (RFC 7946). Each mask is a feature with a `Polygon`, or a `MultiPolygon` where
its pixels are not all connected by their sides. Holes are kept.

- **Coordinates are pixels of the upright image, x to the right and y down**, and not longitude and latitude. Corners of
  pixels have whole numbers: filling the polygon gives the mask exactly. Set a viewer to a plain coordinate system.
- `properties` has the item's `item_id`, `custom_id`, `image`, `width` and `height`, and the mask's `mask_id`,
  `prompt_id`, `phrase`, `score`, `area`, `bbox`, `predicted_iou` and `stability_score`. A feature's
  id is `{item_id}/{mask_id}`.
- `job` describes the job, and `failed_items` lists the items that failed, with their reasons.
- A mask without a pixel is left out. An image in which nothing was found has no feature."""
_AT_ONCE: Final = 64
"""Masks that are outlined together."""
_KEPT = ("prompt_id", "phrase", "score", "area", "bbox", "predicted_iou", "stability_score")


async def geojson(source: Source) -> AsyncGenerator[bytes, None]:
    """Outlines are computed in a thread, some masks of an image at a time: other answers must not wait for them."""
    yield b'{"type":"FeatureCollection","job":' + orjson.dumps(source.about()) + b',\n"failed_items":['
    async for part in array(failed_items(source)):
        yield part
    yield b'],\n"features":['
    async for part in array(_features(source)):
        yield part
    yield b"]}\n"


async def _features(source: Source) -> AsyncGenerator[dict[str, Any], None]:
    async for row in source.rows(export.succeeded_masks):
        masks = [mask for mask in mask_views(row) if mask["area"] > 0]
        for at in range(0, len(masks), _AT_ONCE):
            for feature in await asyncio.to_thread(_of_masks, row, masks[at : at + _AT_ONCE]):
                yield feature


def _of_masks(row: Row[Any], masks: list[dict[str, Any]]) -> list[dict[str, Any]]:
    outlines = polygons([mask["segmentation"] for mask in masks])
    return [_feature(row, mask, found) for mask, found in zip(masks, outlines, strict=True)]


def _feature(row: Row[Any], mask: dict[str, Any], found: list[Polygon]) -> dict[str, Any]:
    item = str(row.item_index)
    about = {"custom_id": row.custom_id, "image": shown_image(row.image), "width": row.width, "height": row.height}
    return {
        "type": "Feature",
        "id": f"{item}/{mask['id']}",
        "geometry": _geometry(found),
        "properties": {"item_id": item, **about, "mask_id": mask["id"], **{name: mask[name] for name in _KEPT}},
    }


def _geometry(found: list[Polygon]) -> dict[str, Any]:
    """Rings are closed: the first corner is repeated."""
    rings = [[[*ring.tolist(), ring[0].tolist()] for ring in polygon] for polygon in found]
    if len(rings) == 1:
        return {"type": "Polygon", "coordinates": rings[0]}
    return {"type": "MultiPolygon", "coordinates": rings}


FORMAT = Format("application/geo+json", "geojson", ABOUT, geojson)
