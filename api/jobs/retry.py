"""Retry the unsuccessful items of a job as a new job."""

import hashlib
import re
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, WithJsonSchema
from sqlalchemy import Row
from sqlalchemy.ext.asyncio import AsyncConnection

from api.http.json_body import parse_object
from api.jobs.store import MadeBefore, check_served, store_row
from api.jobs.submission import Needs
from api.refusals import FieldError, InvalidBody, JobNotDone, JobNotFound, NothingToRetry
from api.settings import Settings
from api.tenant import Tenant
from db.ids import show_job_id
from db.limits import chunk_size
from db.statements import ingest, output, webhooks
from db.statements import retry as sql
from db.states import FINAL_JOB_STATES, ItemReason, ItemState, JobState
from intake.messages import pointer, text_of

MAX_NAMED = 10_000
_ITEM_ID = r"^(0|[1-9][0-9]{0,8})$"


def _item_id(text: str) -> str:
    if not re.fullmatch(_ITEM_ID, text, re.ASCII):
        raise ValueError("must be the id of an item, such as 17: its index in the job, and not its custom_id")
    return text


ItemId = Annotated[
    str, AfterValidator(_item_id), WithJsonSchema({"type": "string", "pattern": _ITEM_ID, "examples": ["17"]})
]


class RetryRequest(BaseModel):
    """Which items to retry: the failed ones where the body is empty."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    items: Annotated[tuple[ItemId, ...], Field(max_length=MAX_NAMED, fail_fast=True)] | None = Field(
        None, description="Ids of failed, cancelled or expired items. Only these are retried"
    )
    include: tuple[Literal["cancelled", "expired"], ...] = Field(
        (), max_length=2, description="States to retry beside `failed`; not together with `items`"
    )


_REQUEST = TypeAdapter(RetryRequest)


def read_retry(body: bytes) -> RetryRequest:
    """The body of `:retry`, which may be empty. Raises InvalidBody."""
    try:
        request = _REQUEST.validate_python(parse_object(body) if body.strip() else {}, strict=False)
    except ValidationError as error:
        details = error.errors(include_url=False, include_input=False)
        raise InvalidBody([{"pointer": pointer(d["loc"]), "detail": text_of(d)} for d in details]) from error
    if request.items == ():
        raise InvalidBody([{"pointer": "/items", "detail": "must name at least one item"}])
    if request.items is not None and request.include:
        raise InvalidBody([{"pointer": "/include", "detail": "must be absent where items are named"}])
    return request


async def retry(
    connection: AsyncConnection, tenant: Tenant, job_id: UUID, body: bytes, key: str | None, settings: Settings
) -> UUID:
    """The id of the new job, or of the job that this idempotency key made before.

    Raises JobNotFound, JobNotDone, NothingToRetry, InvalidBody for a named item that cannot be retried,
    IdempotencyKeyReused, TaskNotServed, TooManyOpenItems.
    """
    request = read_retry(body)
    old = await _final_job(connection, tenant, job_id)
    states = [ItemState.FAILED, *(ItemState(state) for state in request.include)]
    indexes = None if request.items is None else sorted({int(item) for item in request.items})
    n_items = await _count(connection, old, states, request, indexes)
    values = _values(old, n_items, hashlib.sha256(f"retry {job_id} ".encode() + body.strip()).digest())
    try:
        new = await store_row(connection, tenant, values, n_items, key, settings)
    except MadeBefore as before:
        return before.job_id
    if old.task.get("type") == "text":
        await check_served(connection, Needs(old.model, ("text",)))
    await connection.execute(*output.copy_output(job_id, new))
    await connection.execute(*webhooks.copy_webhook(job_id, new))
    await connection.execute(*sql.copy_items(job_id, new, states, indexes))
    await connection.execute(*ingest.cut_chunks(new))
    return new


async def _final_job(connection: AsyncConnection, tenant: Tenant, job_id: UUID) -> Row[Any]:
    row = (await connection.execute(*sql.retried_job(tenant.id, job_id))).first()
    if row is None:
        raise JobNotFound(show_job_id(job_id))
    if row.state not in FINAL_JOB_STATES:
        raise JobNotDone(f"{show_job_id(job_id)} is {row.state.value}: cancel it, or wait for it, before you retry it")
    return row


async def _count(
    connection: AsyncConnection, old: Row[Any], states: list[ItemState], request: RetryRequest, named: list[int] | None
) -> int:
    if named is not None:
        await _check_named(connection, old.id, request.items or ())
        return len(named)
    n_items: int = (await connection.execute(*sql.unsuccessful(old.id, states))).scalar_one()
    if not n_items:
        wanted = " or ".join(state.value for state in states)
        raise NothingToRetry(f"no item of {show_job_id(old.id)} is {wanted} and can be read again")
    return n_items


async def _check_named(connection: AsyncConnection, job_id: UUID, named: tuple[str, ...]) -> None:
    found = {row.item_index: row for row in await connection.execute(*sql.named(job_id, [int(item) for item in named]))}
    errors: list[FieldError] = []
    for i, item in enumerate(named):
        problem = _problem(found.get(int(item)))
        if problem is not None:
            errors.append({"pointer": f"/items/{i}", "detail": f"item {item} {problem}"})
    if errors:
        raise InvalidBody(errors[:100], len(errors))


def _problem(row: Row[Any] | None) -> str | None:
    """Why an item cannot be retried."""
    if row is None:
        return "does not exist"
    if row.state == ItemState.SUCCEEDED:
        return "has succeeded"
    return "is a line that cannot be read" if row.reason == ItemReason.INVALID_MANIFEST_LINE else None


def _values(old: Row[Any], n_items: int, digest: bytes) -> dict[str, Any]:
    kept = {name: old.input[name] for name in ("depth", "bands", "prompts") if name in old.input}
    return {
        **{name: getattr(old, name) for name in sql.CARRIED},
        "state": JobState.PENDING,
        "input": {"items": n_items, **kept},
        "chunk_size": chunk_size(
            n_items, prompted=old.task["type"] == "prompted", tiled=old.task.get("tile") is not None
        ),
        "retry_of": old.id,
        "request_sha256": digest,
    }
