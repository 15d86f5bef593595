"""Store a submitted job: its row, its items and its chunks, within the limits on open items."""

import logging
from collections.abc import Iterable, Mapping
from itertools import islice
from typing import Any, Final
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from api.items.earlier_masks import EarlierMasks
from api.jobs.submission import DryRun, Needs, Submission
from api.jobs.views import Validated
from api.refusals import FieldError, IdempotencyKeyReused, InvalidBody, TaskNotServed, TooManyOpenItems
from api.settings import Settings
from api.tenant import Tenant
from api.webhooks.schemas import WebhookRequest
from db.ids import new_job_id, show_job_id
from db.limits import chunk_size
from db.queues import TILED
from db.statements import ingest, leader, output, register, submit, webhooks
from db.states import JobState
from db.traces import traceparent
from intake.item import ItemRow

log = logging.getLogger("maskworks.api")
_ROWS_AT_ONCE = 2000


async def validated(connection: AsyncConnection, tenant: Tenant, dry: DryRun, settings: Settings) -> Validated:
    """The answer to `validate_only`: the errors of the body, and whether limits or the lack of a worker refuse it."""
    errors = list(dry.errors)
    try:
        await _check_open_items(connection, tenant, 0, dry.n_items or 0, settings)
    except TooManyOpenItems as error:
        errors.append({"pointer": "/input", "detail": error.detail})
    try:
        await _check_webhook(connection, tenant, dry.webhook)
    except InvalidBody as error:
        errors += error.errors
    try:
        await check_served(connection, dry.needs)
    except TaskNotServed as error:
        errors += error.errors
    counts = {"total": dry.n_items, "invalid": dry.n_invalid}
    return Validated(valid=not errors, counts=counts, errors=[{**e} for e in errors])


class MadeBefore(Exception):
    """This idempotency key has made a job from the same request."""

    def __init__(self, job_id: UUID) -> None:
        self.job_id = job_id


async def store_job(
    connection: AsyncConnection, tenant: Tenant, job: Submission, key: str | None, digest: bytes, settings: Settings
) -> UUID:
    """The id of the new job, or of the job that this idempotency key made before.

    Raises TaskNotServed and MaskNotFound.
    """
    n_items = len(job.items or ())
    values = {
        **_columns(job),
        "chunk_size": chunk_size(n_items, prompted=job.prompted, tiled=job.tiled),
        "request_sha256": digest,
    }
    try:
        job_id = await store_row(connection, tenant, values, n_items, key, settings)
    except MadeBefore as before:
        return before.job_id
    await check_served(connection, job.needs)
    if job.output is not None:
        await connection.execute(*output.insert_output(job_id, job.output.uri, job.output.formats))
    if job.webhook is not None:
        await _check_webhook(connection, tenant, job.webhook)
        await connection.execute(*webhooks.insert_webhook(job_id, job.webhook.url, job.webhook.events))
    if job.items is not None:
        await _insert_items(connection, job_id, job.items, EarlierMasks(connection, tenant))
        await connection.execute(*ingest.cut_chunks(job_id))
    return job_id


async def check_served(connection: AsyncConnection, needs: Needs | None) -> None:
    """Raises TaskNotServed where no live worker can do a task that not every worker can do."""
    if needs is None or not needs.tasks:
        return
    if (await connection.execute(*register.serving(needs.model, needs.tasks))).first() is None:
        *_, task = needs.tasks
        raise TaskNotServed([_NOT_SERVED[task](needs.model)])


def _no_text(model: str) -> FieldError:
    detail = f"no live worker serves text with {model} (MASKWORKS_TEXT on a worker makes it serve text)"
    return {"pointer": "/task/type", "detail": detail}


def _no_exemplars(model: str) -> FieldError:
    detail = f"no live worker serves text with {model} and takes exemplars: see `tasks` in GET /v1/models"
    return {"pointer": "/input/items", "detail": detail}


_NOT_SERVED: Final = {"text": _no_text, "text_exemplars": _no_exemplars}


async def _check_webhook(connection: AsyncConnection, tenant: Tenant, webhook: WebhookRequest | None) -> None:
    """Raises InvalidBody where there is nothing to sign it with."""
    if webhook is not None and (await connection.execute(*webhooks.valid_secrets(tenant.id))).first() is None:
        raise InvalidBody([{"pointer": "/webhook", "detail": "needs a secret: make one by POST /v1/webhook-secrets"}])


async def store_row(
    connection: AsyncConnection,
    tenant: Tenant,
    values: Mapping[str, Any],
    n_items: int,
    key: str | None,
    settings: Settings,
) -> UUID:
    """The id of a new job. The caller stores its items and chunks in the same transaction.

    Raises MadeBefore, IdempotencyKeyReused and TooManyOpenItems.
    """
    job_id = new_job_id()
    row = {
        **values,
        "id": job_id,
        "tenant_id": tenant.id,
        "n_items": n_items,
        "idempotency_key": key,
        "request_sha256": values["request_sha256"] if key else None,
        "traceparent": traceparent(),
    }
    if (await connection.execute(*submit.insert_job(row))).first() is None:
        raise MadeBefore(await _made_before(connection, tenant, key or "", values["request_sha256"]))
    await _check_open_items(connection, tenant, n_items, n_items, settings)
    await connection.execute(*leader.wake_dispatcher())
    log.info("%s submitted by %s: %s, %s", show_job_id(job_id), tenant.id, values["model"], values["input"])
    return job_id


def _columns(job: Submission) -> dict[str, Any]:
    return {
        "state": JobState.INGESTING if job.items is None else JobState.PENDING,
        "name": job.name,
        "labels": job.labels,
        "model": job.model,
        "precision": job.precision,
        "protocol": TILED if job.tiled or job.any_tiles else 1,
        "priority": job.priority,
        "task": job.task,
        "input": job.input,
        "prompts": job.prompts,
        "reuse": job.reuse,
        "deadline": job.deadline,
        "max_failure_ratio": job.max_failure_ratio,
    }


async def _made_before(connection: AsyncConnection, tenant: Tenant, key: str, digest: bytes) -> UUID:
    before = (await connection.execute(*submit.job_by_idempotency_key(tenant.id, key))).one()
    if before.request_sha256 != digest:
        raise IdempotencyKeyReused(
            f"this Idempotency-Key made {show_job_id(before.id)} from another body: use a new key"
        )
    job_id: UUID = before.id
    return job_id


async def _check_open_items(
    connection: AsyncConnection, tenant: Tenant, stored: int, n_items: int, settings: Settings
) -> None:
    """Raises TooManyOpenItems. The count over all tenants already includes `stored` items of the new job."""
    row = (await connection.execute(*submit.open_items(tenant.id))).one()
    limit = settings.max_open_items if row.max_open_items is None else row.max_open_items
    if row.open + n_items > limit:
        raise TooManyOpenItems(f"{row.open} items are open, {n_items} more would exceed {limit}: try again later")
    if row.of_all - stored + n_items > settings.max_open_items_total:
        raise TooManyOpenItems(
            f"this installation takes {settings.max_open_items_total} unfinished items at a time: try again later"
        )


async def _insert_items(
    connection: AsyncConnection, job_id: UUID, rows: Iterable[ItemRow], masks: EarlierMasks
) -> None:
    """A few thousand at a time, so that memory stays small. Raises MaskNotFound."""
    driver: Any = (await connection.get_raw_connection()).driver_connection
    left = iter(rows)
    async with driver.cursor() as cursor:
        while some := [await _with_masks(row, masks) for row in islice(left, _ROWS_AT_ONCE)]:
            await cursor.execute(submit.INSERT_ITEMS, (job_id, *map(list, zip(*some, strict=True))))


async def _with_masks(row: ItemRow, masks: EarlierMasks) -> ItemRow:
    """With the earlier masks that its prompts name."""
    if row.prompts is None:
        return row
    return row._replace(prompts=await masks.fill_text(row.prompts, f"/input/items/{row.item_index}/prompts"))
