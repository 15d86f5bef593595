"""Statements that accept a job.

One transaction runs them in order: `insert_job`, `open_items` against the tenant's limit, the items by COPY,
`CUT_CHUNKS` (db.statements.ingest), `wake_dispatcher` (db.statements.stop).
"""

from collections.abc import Mapping
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Executable, Select, func, select
from sqlalchemy.dialects.postgresql import insert

from db.states import FINAL_CHUNK_STATES, FINAL_JOB_STATES, ChunkState, JobState
from db.tables import chunks, jobs, tallies, tenants


def insert_job(values: Mapping[str, Any]) -> Executable:
    """A new job. No row back: this tenant has used its idempotency key before (see `job_by_idempotency_key`)."""
    return (
        insert(jobs)
        .values(created_at=func.clock_timestamp(), **values)
        .on_conflict_do_nothing(index_elements=[jobs.c.tenant_id, jobs.c.idempotency_key])
        .returning(jobs.c.id)
    )


def job_by_idempotency_key(tenant: str, key: str) -> Select[tuple[UUID, bytes]]:
    """The job that this key made, and the digest of the request that made it."""
    return select(jobs.c.id, jobs.c.request_sha256).where(jobs.c.tenant_id == tenant, jobs.c.idempotency_key == key)


def open_items(tenant: str) -> Select[tuple[int, int, int | None]]:
    """Items of the tenant's jobs that have no result and whose chunk is not final, or that a listing found; those of
    everybody's open jobs, less what is tallied (a few rows, where counting exactly would read every waiting chunk); and
    the tenant's own limit."""
    unfinished = chunks.c.state.in_([s for s in ChunkState if s not in FINAL_CHUNK_STATES])
    missing = func.coalesce(func.sum(chunks.c.hi - chunks.c.lo - chunks.c.n_ok - chunks.c.n_err), 0)
    waiting = (
        select(missing)
        .join_from(chunks, jobs, jobs.c.id == chunks.c.job_id)
        .where(jobs.c.tenant_id == tenant, unfinished)
        .scalar_subquery()
    )
    ingesting = (jobs.c.tenant_id == tenant) & (jobs.c.state == JobState.INGESTING)  # their chunks are not cut yet
    listed = select(func.coalesce(func.sum(jobs.c.n_items), 0)).where(ingesting).scalar_subquery()
    tallied = select(func.coalesce(func.sum(tallies.c.n), 0)).where(tallies.c.job_id == jobs.c.id).scalar_subquery()
    unfinished_jobs = jobs.c.state.in_([s for s in JobState if s not in FINAL_JOB_STATES])
    of_all = select(func.coalesce(func.sum(jobs.c.n_items - tallied), 0)).where(unfinished_jobs).scalar_subquery()
    return select((waiting + listed).label("open"), of_all.label("of_all"), tenants.c.max_open_items).where(
        tenants.c.id == tenant
    )


COPY_ITEMS: Final = "COPY items (job_id, index, custom_id, image, prompts) FROM STDIN"
"""For psycopg's `cursor.copy` on the raw connection: job UUID, index, custom_id, image, prompts as JSON or None."""
