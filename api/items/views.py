"""Answers about items and masks: rows of the database → JSON."""

import zlib
from typing import Any

import orjson
from pydantic import BaseModel, Field
from sqlalchemy import Row

from db.ids import show_job_id
from db.states import ItemReason, ItemState, WarningCode


class ItemError(BaseModel):
    reason: str = Field(examples=[ItemReason.OBJECT_NOT_FOUND])
    detail: str | None
    retryable: bool


class ItemWarning(BaseModel):
    """A way in which a result differs from the request."""

    code: WarningCode
    detail: str
    prompt_id: str | None


class ReusedFrom(BaseModel):
    """The item that was computed. It may be deleted since."""

    job_id: str = Field(examples=["job_0198a3c2f0b47d21a5e94c0b6f3d8e17"])
    item_id: str


class Item(BaseModel):
    """One image of a job; its id is its index."""

    id: str
    custom_id: str
    index: int
    image: str
    state: ItemState
    attempt: int
    error: ItemError | None
    size: tuple[int, int] | None = Field(description="[height, width] of the upright image")
    orientation: int | None = Field(description="The EXIF orientation found, before it was applied")
    mask_count: int | None
    model: str | None
    model_revision: str | None
    precision: str | None
    timings_ms: dict[str, float] | None
    frames: int | None = Field(description="Images in the file; the first was taken")
    warnings: list[ItemWarning]
    reused_from: ReusedFrom | None = Field(description="The earlier item whose result this is; of jobs with `reuse`")


class RLEBody(BaseModel):
    size: tuple[int, int] = Field(description="[height, width]")
    counts: str = Field(description="COCO's compressed run lengths")


class MaskBody(BaseModel):
    """One mask; coordinates are xy pixels of the upright image."""

    id: int
    prompt_id: str | None
    segmentation: RLEBody
    bbox: tuple[int, int, int, int] = Field(description="x, y, width, height: pycocotools' toBbox")
    area: int
    predicted_iou: float
    stability_score: float
    point_coords: list[tuple[float, float]] | None
    crop_box: tuple[int, int, int, int] = Field(description="x, y, width, height")


class ItemPage(BaseModel):
    items: list[Item]
    next_page_token: str | None = None


class MaskPage(BaseModel):
    masks: list[MaskBody]
    next_page_token: str | None = None


def item_view(row: Row[Any]) -> dict[str, Any]:
    """A row of `db.statements.items.item` → the JSON of `Item`."""
    failed = row.reason is not None
    return {
        "id": str(row.item_index),
        "custom_id": row.custom_id,
        "index": row.item_index,
        "image": row.image,
        "state": row.state,
        "attempt": row.attempt,
        "error": {"reason": row.reason, "detail": row.detail, "retryable": row.retryable} if failed else None,
        "size": None if row.height is None else [row.height, row.width],
        "orientation": row.orientation,
        "mask_count": row.mask_count,
        "model": row.model,
        "model_revision": row.model_revision,
        "precision": row.precision,
        "timings_ms": row.timings_ms,
        "frames": row.frames,
        "warnings": row.warnings or [],
        "reused_from": _reused_from(row),
    }


def _reused_from(row: Row[Any]) -> dict[str, str] | None:
    if row.reused_job is None:
        return None
    return {"job_id": show_job_id(row.reused_job), "item_id": str(row.reused_index)}


def mask_views(row: Row[Any], start: int = 0, stop: int | None = None) -> list[dict[str, Any]]:
    """The masks [start, stop) of a result row → the JSON of `MaskBody`. RLE counts are copied, never decoded.

    `row.masks` is the JSON of a list of `db.mask_row.MaskRow`.
    """
    if not row.mask_count:
        return []
    rle = (zlib.decompress(row.rle) if row.codec == 1 else row.rle).decode("ascii")
    size = [row.height, row.width]
    return [_mask_view(start + i, mask, rle, size) for i, mask in enumerate(orjson.loads(row.masks)[start:stop])]


def _mask_view(index: int, mask: dict[str, Any], rle: str, size: list[int]) -> dict[str, Any]:
    offset = mask["offset"]
    point = None if mask["point_x"] is None else [[mask["point_x"], mask["point_y"]]]
    return {
        "id": index,
        "prompt_id": mask["prompt"],
        "segmentation": {"size": size, "counts": rle[offset : offset + mask["length"]]},
        "bbox": [mask["x"], mask["y"], mask["w"], mask["h"]],
        "area": mask["area"],
        "predicted_iou": mask["predicted_iou"],
        "stability_score": mask["stability_score"],
        "point_coords": point,
        "crop_box": [mask["crop_x"], mask["crop_y"], mask["crop_w"], mask["crop_h"]],
    }
