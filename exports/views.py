"""Items and masks as JSON, in answers and in files: rows of the database → dicts."""

import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import orjson
from sqlalchemy import Row

from db.ids import show_job_id
from db.mask_row import MaskRow
from db.web_image import shown_image


def item_view(row: Row[Any]) -> dict[str, Any]:
    """A row of `db.statements.items.item` → the JSON of `api.items.views.Item`."""
    failed = row.reason is not None
    return {
        "id": str(row.item_index),
        "custom_id": row.custom_id,
        "index": row.item_index,
        "image": shown_image(row.image),
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
        "georeference": row.georeference,
        "warnings": row.warnings or [],
        "reused_from": _reused_from(row),
    }


def _reused_from(row: Row[Any]) -> dict[str, str] | None:
    if row.reused_job is None:
        return None
    return {"job_id": show_job_id(row.reused_job), "item_id": str(row.reused_index)}


def mask_views(row: Row[Any], start: int = 0, stop: int | None = None) -> list[dict[str, Any]]:
    """The masks [start, stop) of a result row → the JSON of a `MaskBody`. RLE counts are copied, never decoded.

    `row.masks` is the JSON of a list of `db.mask_row.MaskRow`.
    """
    if not row.mask_count:
        return []
    rle = (zlib.decompress(row.rle) if row.codec == 1 else row.rle).decode("ascii")
    size = [row.height, row.width]
    masks = orjson.loads(row.masks)[start:stop]
    return [_mask_view(i, mask, rle, size) | _beside(row, i) for i, mask in enumerate(masks, start)]


def _beside(row: Row[Any], index: int) -> dict[str, Any]:
    """The phrase that a mask matches, and how well; and its area, where that is too large for its row."""
    large = {} if row.areas is None else {"area": row.areas[index]}
    if row.phrases is None:
        return {"phrase": None, "score": None, **large}
    return {"phrase": row.phrases[index], "score": row.scores[index], **large}


def fresh_mask_views(masks: Sequence[MaskRow], rle: bytes, size: list[int]) -> list[dict[str, Any]]:
    """The same for masks that are not stored, of no text task. Scores are rounded as Postgres stores them."""
    counts = rle.decode("ascii")
    unnamed = {"phrase": None, "score": None}
    return [_mask_view(i, _as_stored(mask), counts, size) | unnamed for i, mask in enumerate(masks)]


def _as_stored(mask: MaskRow) -> dict[str, Any]:
    scores = {"predicted_iou": mask.predicted_iou, "stability_score": mask.stability_score}
    return mask._asdict() | {name: float(str(np.float32(score))) for name, score in scores.items()}


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
