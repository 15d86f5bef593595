"""GeoJSON: each mask as a feature with polygons along the edges of its pixels."""

import asyncio
from collections.abc import AsyncGenerator, Iterator, Sequence
from typing import Any, Final

import orjson
from numpy.typing import NDArray
from sqlalchemy import Row

from db.statements import export
from db.web_image import shown_image
from exports.array import array
from exports.failed_items import failed_items
from exports.format import Format
from exports.ground import Ground, NoPlace, square_metres
from exports.pages import Source
from exports.views import mask_views
from model.masks.outlines import Polygon, TooManyCorners, polygons

ABOUT = """A GeoJSON feature collection (RFC 7946). Each mask is a feature with a `Polygon`, or a `MultiPolygon` where
its pixels are not all connected by their sides. Holes are kept.

- **Where an image has a CRS, coordinates are longitude and latitude** (EPSG:4326). `crs` of the properties is that of
  the image, and `area_m2` is the geodesic area in square metres, on the ellipsoid of WGS 84 whatever the CRS is.
  Polygons that cross the antimeridian go on beyond ±180°. `area` and `bbox` stay in pixels.
- **Where an image has none, coordinates are pixels of the upright image, x to the right and y down**, and `crs` and
  `area_m2` are null. Corners of pixels have whole numbers: filling the polygon gives the mask exactly. Set a viewer to
  a plain coordinate system.
- `properties` has the item's `item_id`, `custom_id`, `image`, `width` and `height`, and the mask's `mask_id`,
  `prompt_id`, `phrase`, `score`, `area`, `bbox`, `predicted_iou` and `stability_score`. A feature's
  id is `{item_id}/{mask_id}`.
- `job` describes the job, and `failed_items` lists the items that failed, with their reasons.
- A mask without a pixel is left out. An image in which nothing was found has no feature.
- A mask like noise has `"geometry": null` and the property `"too_many_corners": true`: one with more than 200,000
  corners, or with more than 400,000 characters of RLE. The other formats have its pixels.
- A mask outside of what its CRS covers has `"geometry": null` and the property `"no_place": true`."""
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
        for masks in together([mask for mask in mask_views(row) if mask["area"] > 0]):
            for feature in await asyncio.to_thread(_of_masks, row, masks):
                yield feature


def together(masks: list[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
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
    ground = Ground.of(row.georeference)
    return [_feature(row, mask, found, ground) for mask, found in zip(masks, outlines(masks), strict=True)]


def outlines(masks: list[dict[str, Any]]) -> list[list[Polygon] | None]:
    """None for a mask with too many corners."""
    try:
        return [*polygons([mask["segmentation"] for mask in masks], _MOST_CORNERS)]
    except TooManyCorners:
        return [None] if len(masks) == 1 else [outlines([mask])[0] for mask in masks]


def about_mask(row: Row[Any], mask: dict[str, Any]) -> dict[str, Any]:
    """What the properties of a mask begin with."""
    about = {"custom_id": row.custom_id, "image": shown_image(row.image), "width": row.width, "height": row.height}
    return {"item_id": str(row.item_index), **about, "mask_id": mask["id"], **{name: mask[name] for name in _KEPT}}


def _feature(row: Row[Any], mask: dict[str, Any], found: list[Polygon] | None, ground: Ground | None) -> dict[str, Any]:
    properties = about_mask(row, mask) | {"crs": None if ground is None else ground.crs, "area_m2": None}
    geometry = None
    if found is None:
        properties["too_many_corners"] = True
    elif ground is None:
        geometry = _geometry(found)
    else:
        try:
            placed = [ground.lonlat(polygon) for polygon in found]
        except NoPlace:
            properties["no_place"] = True
        else:
            geometry = _geometry(placed)
            properties["area_m2"] = round(square_metres(placed), 3)
    identity = f"{row.item_index}/{mask['id']}"
    return {"type": "Feature", "id": identity, "geometry": geometry, "properties": properties}


def _geometry(found: Sequence[Sequence[NDArray[Any]]]) -> dict[str, Any]:
    """Rings are closed: the first corner is repeated."""
    rings = [[[*ring.tolist(), ring[0].tolist()] for ring in polygon] for polygon in found]
    if len(rings) == 1:
        return {"type": "Polygon", "coordinates": rings[0]}
    return {"type": "MultiPolygon", "coordinates": rings}


FORMAT = Format("application/geo+json", "geojson", ABOUT, geojson)
