"""Jobs: submit, list, read, cancel, retry, delete."""

import asyncio
import logging
import time
from collections.abc import Iterator, Mapping
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Header, Query, Request, Response
from pydantic import TypeAdapter, ValidationError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from api.auth import CurrentTenant
from api.database import Database, JobId, Reads
from api.http.bodies import BodyRoom, json_body
from api.http.etags import is_known
from api.http.numbers import NUMBER
from api.http.paging import JobToken, PageSize, next_token, read_id
from api.http.problems import PROBLEMS
from api.jobs import openapi
from api.jobs.links import Signer
from api.jobs.reading import reading
from api.jobs.retry import retry
from api.jobs.schemas import LabelValue
from api.jobs.store import store_job, validated
from api.jobs.submission import DryRun
from api.jobs.views import Job, JobPage, Validated, job_etag, job_view
from api.refusals import InvalidParameter, JobNotDone, JobNotFound
from api.settings import Settings
from api.tenant import Tenant
from db.endings import stop_job
from db.ids import show_job_id
from db.statements import jobs as sql
from db.states import JobReason, JobState

log = logging.getLogger("maskworks.api")
router = APIRouter(prefix="/v1/jobs", tags=["jobs"], responses=PROBLEMS)

IdempotencyKey = Annotated[str | None, Header(min_length=1, max_length=255, pattern=r"^[!-~]+$")]
_LABEL_VALUE: TypeAdapter[str] = TypeAdapter(LabelValue)
_POLL_SECONDS = (0.1, 1.0)


@router.post("", status_code=202, responses=openapi.SUBMIT_RESPONSES, openapi_extra=openapi.SUBMIT_BODY)
async def submit_job(
    request: Request,
    tenant: CurrentTenant,
    database: Database,
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """Submit a job.

    The job, its items and its chunks are stored in one transaction. After 202 every item will end as succeeded,
    failed, cancelled or expired. A repeat with the same `Idempotency-Key` answers with the same job.
    """
    settings: Settings = request.app.state.settings
    async with reading(request, tenant) as (read_body, digest), database.begin() as connection:
        if isinstance(read_body, DryRun):
            return _json(200, await validated(connection, tenant, read_body, settings))
        job_id = await store_job(connection, tenant, read_body, idempotency_key, digest, settings)
        job = await _job(connection, tenant, job_id)
    return _json(202, job, {"Location": f"/v1/jobs/{job.id}", "ETag": job_etag(job)})


async def _job(connection: AsyncConnection, tenant: Tenant, job_id: UUID) -> Job:
    """Raises JobNotFound."""
    row = (await connection.execute(*sql.job(tenant.id, job_id))).first()
    if row is None:
        raise JobNotFound(show_job_id(job_id))
    return job_view(row)


def _json(status: int, body: Job | JobPage | Validated, headers: Mapping[str, str] | None = None) -> Response:
    exclude = {"next_page_token"} if isinstance(body, JobPage) and body.next_page_token is None else None
    content = body.model_dump_json(exclude=exclude)
    return Response(content, status, dict(headers or {}), media_type="application/json")


@router.get("", response_model=JobPage, openapi_extra=openapi.LABEL_PARAMETER)
async def list_jobs(
    request: Request,
    tenant: CurrentTenant,
    reads: Reads,
    state: Annotated[JobState | None, Query(description="Only jobs in this state")] = None,
    page_size: PageSize = 50,
    page_token: JobToken = None,
) -> Response:
    """List jobs, newest first."""
    labels = dict(_labels(request))
    async with reads.connect() as connection:
        page = sql.list_jobs(tenant.id, state=state, labels=labels, before=read_id(page_token), limit=page_size)
        rows = (await connection.execute(*page)).all()
    token = next_token(rows, page_size, rows[-1].id if rows else None)
    return _json(200, JobPage(jobs=[job_view(row) for row in rows], next_page_token=token))


def _labels(request: Request) -> Iterator[tuple[str, str]]:
    for name, value in request.query_params.items():
        if name.startswith("label."):
            try:
                yield name.removeprefix("label."), _LABEL_VALUE.validate_python(value)
            except ValidationError as error:
                raise InvalidParameter(name, "must have at most 255 characters and no control characters") from error


@router.get("/{job_id:job}", response_model=Job, responses=openapi.JOB_RESPONSES)
async def get_job(
    request: Request,
    tenant: CurrentTenant,
    reads: Reads,
    job_id: JobId,
    wait: Annotated[float, Query(ge=0, le=60, description="Seconds to wait for a change or for the end"), NUMBER] = 0,
    if_none_match: Annotated[str | None, Header()] = None,
) -> Response:
    """Read a job.

    With `wait` and `If-None-Match` it answers when the ETag has changed. With `wait` alone it answers when the job is
    done. It answers after `wait` seconds at the latest.
    """
    job = await _awaited(request, reads, tenant, job_id, time.monotonic() + wait, if_none_match)
    etag = job_etag(job)
    if is_known(etag, if_none_match):
        return Response(status_code=304, headers={"ETag": etag})
    signer: Signer | None = request.app.state.signer
    if signer is not None:
        job = await signer.with_links(reads, job_id, job)
    return _json(200, job, {"ETag": etag, "Cache-Control": "no-cache"})


async def _awaited(
    request: Request, reads: AsyncEngine, tenant: Tenant, job_id: UUID, until: float, known: str | None
) -> Job:
    """Reads the job until it has changed or the time is over. Holds no connection between two reads."""
    pause, longest = _POLL_SECONDS
    while True:
        async with reads.connect() as connection:
            job = await _job(connection, tenant, job_id)
        settled = job.done if known is None else not is_known(job_etag(job), known)
        left = until - time.monotonic()
        if settled or left <= 0 or await request.is_disconnected():
            return job
        await asyncio.sleep(min(pause, left))
        pause = min(pause * 1.5, longest)


@router.post("/{job_id:job}:cancel", response_model=Job, responses=openapi.CANCEL_RESPONSES)
async def cancel_job(tenant: CurrentTenant, database: Database, job_id: JobId) -> Response:
    """Cancel a job.

    A job that is done stays as it is. Finished items keep their results.
    """
    async with database.begin() as connection:
        await _job(connection, tenant, job_id)
        if await connection.run_sync(stop_job, job_id, JobReason.CANCELLED_BY_CLIENT):
            log.info("%s cancelled by %s", show_job_id(job_id), tenant.id)
        job = await _job(connection, tenant, job_id)
    return _json(200, job, {"ETag": job_etag(job)})


@router.post(
    "/{job_id:job}:retry", status_code=202, responses=openapi.RETRY_RESPONSES, openapi_extra=openapi.RETRY_BODY
)
async def retry_job(
    request: Request, tenant: CurrentTenant, database: Database, job_id: JobId, idempotency_key: IdempotencyKey = None
) -> Response:
    """Retry the failed items of a job that is done, as a new job.

    The new job has the task, model, labels, priority, output and webhook of the old one, and no deadline. `retry_of`
    names the old job.
    Lines of a manifest that could not be read are left out.
    """
    settings: Settings = request.app.state.settings
    room: BodyRoom = request.app.state.body_room
    limits = settings.max_body_bytes, settings.body_seconds
    async with json_body(request, room, tenant, *limits, required=False) as body, database.begin() as connection:
        new = await retry(connection, tenant, job_id, body, idempotency_key, settings)
        job = await _job(connection, tenant, new)
    return _json(202, job, {"Location": f"/v1/jobs/{job.id}", "ETag": job_etag(job)})


@router.delete("/{job_id:job}", status_code=204, responses=openapi.DELETE_RESPONSES)
async def delete_job(tenant: CurrentTenant, database: Database, job_id: JobId) -> Response:
    """Delete a job that is done, with its items and results. No route finds it any more; its rows are removed soon."""
    async with database.begin() as connection:
        job = await _job(connection, tenant, job_id)
        if not job.done:
            raise JobNotDone(f"{job.id} is {job.state.value}: cancel it before you delete it")
        await connection.execute(*sql.delete_job(tenant.id, job_id))
    log.info("%s deleted by %s", job.id, tenant.id)
    return Response(status_code=204)
