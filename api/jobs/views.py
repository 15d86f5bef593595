"""What a client gets back: rows of the database → the bodies of API.md."""

import hashlib
import zlib
from datetime import datetime
from typing import Any

import orjson
from pydantic import BaseModel, Field
from sqlalchemy import Row

from db.ids import show_job_id
from db.states import FINAL_JOB_STATES, ItemReason, ItemState, JobState, WaitReason, WarningCode


class Counts(BaseModel):
    """Items by state: the six always add up to `total`."""

    total: int
    pending: int
    running: int
    succeeded: int
    failed: int
    cancelled: int
    expired: int


class Progress(BaseModel):
    fraction: float = Field(description="Items that are final, of all; 0 while nothing is listed")
    items_per_second: float | None = Field(description="Since the job started")
    eta_seconds: int | None


class FailureCount(BaseModel):
    reason: str = Field(examples=[ItemReason.OBJECT_NOT_FOUND])
    count: int


class JobError(BaseModel):
    reason: str
    detail: str | None


class ItemError(BaseModel):
    reason: str = Field(examples=[ItemReason.OBJECT_NOT_FOUND])
    detail: str | None
    retryable: bool


class ItemWarning(BaseModel):
    """Something about a result that was not quite as asked."""

    code: WarningCode
    detail: str
    prompt_id: str | None


class Job(BaseModel):
    """A job as it stands."""

    id: str = Field(examples=["job_0198a3c2f0b47d21a5e94c0b6f3d8e17"])
    name: str | None
    labels: dict[str, str]
    state: JobState
    done: bool = Field(description="True in the five final states, which never change again")
    model: str
    precision: str | None
    priority: int
    task: dict[str, Any]
    input: dict[str, Any]
    deadline: datetime | None
    max_failure_ratio: float | None
    create_time: datetime
    start_time: datetime | None
    end_time: datetime | None
    counts: Counts
    progress: Progress
    failures: list[FailureCount]
    passed_over: int = Field(description="Keys under the prefix that the glob, or the default filter, left out")
    waiting_for: WaitReason | None = Field(description="Why the job makes no progress now; null while it does")
    waiting_detail: str | None
    error: JobError | None = Field(description="Why the job as a whole ended early")
    retry_of: str | None
    links: dict[str, str]


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


class Validated(BaseModel):
    """The answer to `validate_only`."""

    valid: bool
    counts: dict[str, int | None]
    errors: list[dict[str, str]]


class JobPage(BaseModel):
    jobs: list[Job]
    next_page_token: str | None = None


class ItemPage(BaseModel):
    items: list[Item]
    next_page_token: str | None = None


class MaskPage(BaseModel):
    masks: list[MaskBody]
    next_page_token: str | None = None


def job_view(row: Row[Any]) -> Job:
    """A row of `db.statements.read.job`."""
    counts = Counts(total=row.n_items, **{s.value: getattr(row, s.value) for s in ItemState})
    shown = show_job_id(row.id)
    done = row.state in FINAL_JOB_STATES
    error = JobError(reason=row.error_reason, detail=row.error_detail) if row.error_reason else None
    return Job(
        id=shown,
        name=row.name,
        labels=row.labels,
        state=row.state,
        done=done,
        model=row.model,
        precision=row.precision,
        priority=row.priority,
        task=row.task,
        input=row.input,
        deadline=row.deadline,
        max_failure_ratio=row.max_failure_ratio,
        create_time=row.created_at,
        start_time=row.started_at,
        end_time=row.ended_at,
        counts=counts,
        progress=_progress(counts, row.started_at, row.ended_at or row.now, done),
        failures=row.failures or [],
        passed_over=row.n_passed_over,
        waiting_for=_waiting_for(row, done),
        waiting_detail=None if done else row.waiting_detail,
        error=error,
        retry_of=show_job_id(row.retry_of) if row.retry_of else None,
        links=_links(shown),
    )


def _waiting_for(row: Row[Any], done: bool) -> WaitReason | None:
    if done:
        return None
    if row.waiting_for is not None:
        return WaitReason(row.waiting_for)
    return None if row.has_worker else WaitReason.NO_WORKER


def _links(job_id: str) -> dict[str, str]:
    me = f"/v1/jobs/{job_id}"
    return {"self": me, "items": f"{me}/items", "results": f"{me}/results?format=jsonl", "cancel": f"{me}:cancel"}


def _progress(counts: Counts, start: datetime | None, until: datetime, done: bool) -> Progress:
    left = counts.pending + counts.running
    fraction = (counts.total - left) / counts.total if counts.total else 0.0
    elapsed = (until - start).total_seconds() if start else 0.0
    finished = counts.succeeded + counts.failed
    rate = finished / elapsed if elapsed > 0 else None
    return Progress(
        fraction=round(fraction, 4),
        items_per_second=None if rate is None else round(rate, 3),
        eta_seconds=0 if done else round(left / rate) if rate else None,
    )


def job_etag(job: Job) -> str:
    """Changes with the state and the counts, and with nothing else."""
    seen = f"{job.id} {job.state.value} {job.counts.model_dump_json()}"
    return f'"{hashlib.sha256(seen.encode()).hexdigest()[:32]}"'


def item_view(row: Row[Any]) -> dict[str, Any]:
    """A row of `db.statements.read.item`, as the JSON of `Item`."""
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
    }


def mask_views(row: Row[Any], start: int = 0, stop: int | None = None) -> list[dict[str, Any]]:
    """The masks [start, stop) of a result row, as the JSON of `MaskBody`; their counts are cut out, never decoded.

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
