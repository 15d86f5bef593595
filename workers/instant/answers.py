"""From the outcome of an image to the message that answers its call."""

from typing import Any, Final

import orjson

from db.states import ItemReason
from exports.views import fresh_mask_views
from intake.calls import MAX_REPLY_BYTES, Failure, Reply, message
from workers.chunks.rows import pack
from workers.pipeline.ticket import Done, Embedded, Failed, Model, Outcome, Unchanged

_STOPPING: Final = "the worker that had the image stops: try again"


def answer(outcome: Outcome, model: Model, etag: str | None) -> bytes:
    """The message for the API."""
    match outcome:
        case Done():
            return _bounded(message(Reply(), orjson.dumps(_masks(outcome, model))))
        case Embedded(values=values):
            size = (outcome.height, outcome.width)
            return _bounded(message(Reply(etag=etag, shape=values.shape, size=size), values.tobytes()))
        case Unchanged():
            return message(Reply(unchanged=True, etag=etag))
        case Failed(failure=failure):
            return failed(failure.reason, failure.detail)
        case _:
            return failed(ItemReason.WORKER_LOST, _STOPPING)


def failed(reason: ItemReason, detail: str) -> bytes:
    return message(Reply(failure=Failure(reason=reason, detail=detail)))


def _bounded(made: bytes) -> bytes:
    if len(made) <= MAX_REPLY_BYTES:
        return made
    detail = f"the answer has more than {MAX_REPLY_BYTES // 2**20} MiB: ask for fewer masks, or submit a job"
    return failed(ItemReason.IMAGE_TOO_LARGE, detail)


def _masks(done: Done, model: Model) -> dict[str, Any]:
    """The JSON of `api.instant.schemas.Segmented`."""
    rows, rle = pack(done.masks)
    size = [done.height, done.width]
    return {
        "size": size,
        "orientation": done.orientation,
        "frames": done.frames,
        "georeference": None if done.georeference is None else done.georeference.as_json(),
        "masks": fresh_mask_views(rows, rle, size),
        "model": model.name,
        "model_revision": model.revision,
        "precision": model.precision,
        "timings_ms": done.timings_ms,
        "warnings": done.warnings,
    }
