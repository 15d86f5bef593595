"""Result rows: the outcome of an image as the columns of `results`."""

from typing import Any, Final

from db.mask_row import MaskRow
from db.statements.lease import Fence
from db.states import ResultState
from model.masks.mask import Mask
from workers.pipeline.ticket import Done, Failed, Model

_MOST: Final = 2**31 - 1
"""Of an area in a row. `areas` of the result has larger ones."""


def pack(masks: list[Mask]) -> tuple[list[MaskRow], bytes]:
    """Masks → composite rows, and their COCO counts end to end (`offset` and `length` point into these bytes)."""
    rows: list[MaskRow] = []
    counts: list[bytes] = []
    offset = 0
    for mask in masks:
        encoded = mask.rle["counts"].encode("ascii")
        # The points of a prompt are in its item. A row keeps only the grid point of an automatic mask.
        point = mask.point_coords[0] if mask.prompt_id is None and mask.point_coords else (None, None)
        x, y, w, h = (int(v) for v in mask.bbox)
        crop_x, crop_y, crop_w, crop_h = (int(v) for v in mask.crop_box)
        rows.append(
            MaskRow(
                area=min(int(mask.area), _MOST),
                x=x,
                y=y,
                w=w,
                h=h,
                predicted_iou=float(mask.predicted_iou),
                stability_score=float(mask.stability_score),
                point_x=point[0],
                point_y=point[1],
                crop_x=crop_x,
                crop_y=crop_y,
                crop_w=crop_w,
                crop_h=crop_h,
                prompt=mask.prompt_id,
                offset=offset,
                length=len(encoded),
            )
        )
        counts.append(encoded)
        offset += len(encoded)
    return rows, b"".join(counts)


def result_row(fence: Fence, attempt: int, model: Model, task: str, outcome: Done | Failed) -> dict[str, Any]:
    """All columns, so that one executemany serves succeeded and failed items alike. `task`: the type of the job's."""
    row: dict[str, Any] = {
        "job_id": fence.job_id,
        "index": outcome.index,
        "fence": fence.fence,
        "attempt": attempt,
        "timings_ms": outcome.timings_ms,
        "model": model.name,
        "model_revision": model.revision_of(task),
        "precision": model.precision,
        "fingerprint": outcome.fingerprint if isinstance(outcome, Done) else None,
    }
    if isinstance(outcome, Failed):
        failure = outcome.failure
        image = ("height", "width", "orientation", "frames", "warnings", "georeference")
        empty = dict.fromkeys((*image, "masks", "rle", "phrases", "scores", "areas"))
        return (
            row
            | empty
            | {
                "state": ResultState.FAILED,
                "reason": failure.reason.value,
                "detail": failure.detail,
                "retryable": failure.retryable,
            }
        )
    masks, rle = pack(outcome.masks)
    return row | {
        "state": ResultState.SUCCEEDED,
        "reason": None,
        "detail": None,
        "retryable": None,
        "height": outcome.height,
        "width": outcome.width,
        "orientation": outcome.orientation,
        "frames": outcome.frames,
        "warnings": outcome.warnings or None,
        "georeference": None if outcome.georeference is None else outcome.georeference.as_json(),
        "masks": masks,
        "rle": rle,
        **_matches(outcome.masks),
        "areas": areas if max(areas := [mask.area for mask in outcome.masks], default=0) > _MOST else None,
    }


def _matches(masks: list[Mask]) -> dict[str, Any]:
    """The phrases and scores of a text job's masks."""
    named = any(mask.phrase is not None for mask in masks)
    return {
        "phrases": [mask.phrase for mask in masks] if named else None,
        "scores": [mask.score for mask in masks] if named else None,
    }
