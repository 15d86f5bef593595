"""The body of POST /v1/annotations → rows to store."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

import orjson
from fastapi import Request
from pydantic import TypeAdapter, ValidationError

from api.annotations.schemas import AnnotationRequest, AnnotationSource, AnnotationsRequest
from api.http.bodies import BodyRoom, json_body
from api.http.json_body import parse_object
from api.jobs.submission import Findings, Rules, add_all, check_image
from api.settings import Settings
from api.tenant import Tenant
from db.ids import new_job_id, read_job_id
from db.web_image import shown_image
from intake.item import ItemRow
from model.masks.rle import decompress, runs_area, runs_bbox

_REQUEST = TypeAdapter(AnnotationsRequest)
Row = dict[str, Any]


@asynccontextmanager
async def reading(request: Request, tenant: Tenant) -> AsyncIterator[list[Row]]:
    """Rows as `db.statements.annotations.store` takes them. Raises a Problem."""
    settings: Settings = request.app.state.settings
    room: BodyRoom = request.app.state.body_room
    submits: asyncio.Semaphore = request.app.state.submits
    rules = Rules(settings.models, 1, tenant.allow_list(settings.buckets), https_images=settings.https_images)
    async with json_body(request, room, tenant, settings.max_body_bytes, settings.body_seconds) as body, submits:
        # In a thread: run lengths of a thousand masks take a while, and other requests must not wait for that.
        yield await asyncio.to_thread(_rows, body, rules)


def _rows(body: bytes, rules: Rules) -> list[Row]:
    found = Findings()
    try:
        asked = _REQUEST.validate_json(orjson.dumps(parse_object(body)), strict=True)
    except ValidationError as error:
        add_all(error, found)
        raise found.refusal() from None
    for number, one in enumerate(asked.annotations):
        check_image(f"/annotations/{number}", ItemRow(0, "", one.image, None), rules, found)
    if found.errors:
        raise found.refusal()
    return [_row(one) for one in asked.annotations]


def _row(one: AnnotationRequest) -> Row:
    height, width = one.segmentation["size"]
    lengths = decompress(one.segmentation["counts"])
    return {
        "id": new_job_id() if one.id is None else UUID(hex=one.id),
        "image": shown_image(one.image),
        "height": height,
        "width": width,
        "counts": one.segmentation["counts"],
        "area": runs_area(lengths),
        "bbox": runs_bbox(lengths, height),
        "state": one.state,
        "stage": one.stage,
        "annotator": one.annotator,
        "clicks": one.clicks,
        **_source(one.source),
    }


def _source(source: AnnotationSource | None) -> Row:
    if source is None:
        return dict.fromkeys(("job_id", "item_index", "mask_id"))
    return {"job_id": read_job_id(source.job_id), "item_index": source.item_index, "mask_id": source.mask_id}
