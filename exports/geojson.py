"""GeoJSON: each mask as a feature with polygons along the edges of its pixels."""

import asyncio
from collections.abc import AsyncGenerator, Iterator
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
from model.masks.outlines import Polygon, TooManyCorners, polygons

ABOUT = """A GeoJSON feature collection (RFC 7946). Each mask is a feature with a `Polygon`, or a `MultiPolygon` where
its pixels are not all connected by their sides. Holes are kept.

- **Coordinates are pixels of the upright image, x to the right and y down**, and not longitude and latitude. Corners of
  pixels have whole numbers: filling the polygon gives the mask exactly. Set a viewer to a plain coordinate system.
- `properties` has the item's `item_id`, `custom_id`, `image`, `width` and `height`, and the mask's `mask_id`,
  `prompt_id`, `phrase`, `score`, `area`, `bbox`, `predicted_iou` and `stability_score`. A feature's
  id is `{item_id}/{mask_id}`.
- `job` describes the job, and `failed_items` lists the items that failed, with their reasons.
- A mask without a pixel is left out. An image in which nothing was found has no feature.
- A mask like noise has `"geometry": null` and the property `"too_many_corners": true`: one with more than 200,000
  corners, or with more than 400,000 characters of RLE. The other formats have its pixels."""
_MOST_CORNERS: Final = 200_000
"""Of one mask. A corner takes about 200 bytes here, so a mask takes at most about 40 MB."""
_AT_ONCE: Final = 32 * 1024
"""Runs of pixels inside columns that are outlined together."""
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
        for masks in _together([mask for mask in mask_views(row) if mask["area"] > 0]):
            for feature in await asyncio.to_thread(_of_masks, row, masks):
                yield feature


def _together(masks: list[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    """Masks of one image in groups, so that outlining a group takes about the same memory."""
    group: list[dict[str, Any]] = []
    held = 0
    for mask in masks:
        most_runs = len(mask["segmentation"]["counts"]) // 2 + mask["bbox"][2]
        if group and held + most_runs > _AT_ONCE:
            yield group
            group, held = [], 0
        group.append(mask)
        held += most_runs
    if group:
        yield group


def _of_masks(row: Row[Any], masks: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [_feature(row, mask, found) for mask, found in zip(masks, _outlines(masks), strict=True)]


def _outlines(masks: list[dict[str, Any]]) -> list[list[Polygon] | None]:
    """None for a mask with too many corners."""
    try:
        return [*polygons([mask["segmentation"] for mask in masks], _MOST_CORNERS)]
    except TooManyCorners:
        return [None] if len(masks) == 1 else [_outlines([mask])[0] for mask in masks]


def _feature(row: Row[Any], mask: dict[str, Any], found: list[Polygon] | None) -> dict[str, Any]:
    item = str(row.item_index)
    about = {"custom_id": row.custom_id, "image": shown_image(row.image), "width": row.width, "height": row.height}
    properties = {"item_id": item, **about, "mask_id": mask["id"], **{name: mask[name] for name in _KEPT}}
    return {
        "type": "Feature",
        "id": f"{item}/{mask['id']}",
        "geometry": None if found is None else _geometry(found),
        "properties": properties if found is not None else properties | {"too_many_corners": True},
    }


def _geometry(found: list[Polygon]) -> dict[str, Any]:
    """Rings are closed: the first corner is repeated."""
    rings = [[[*ring.tolist(), ring[0].tolist()] for ring in polygon] for polygon in found]
    if len(rings) == 1:
        return {"type": "Polygon", "coordinates": rings[0]}
    return {"type": "MultiPolygon", "coordinates": rings}


FORMAT = Format("application/geo+json", "geojson", ABOUT, geojson)
