"""Statements that accept a job.

One transaction runs them in order: `insert_job`, `open_items` against the tenant's limit, the items by
`INSERT_ITEMS`, `ingest.cut_chunks`, `leader.wake_dispatcher`.
"""

from collections.abc import Mapping
from typing import Any, Final

from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert

from db.statements.bound import Bound, bound
from db.statements.clock import now
from db.states import UNFINISHED_CHUNK_STATES, JobState
from db.tables import chunks, jobs, tenants


def insert_job(values: Mapping[str, Any]) -> Bound:
    """A new job. No row back: this tenant has used its idempotency key before (see `job_by_idempotency_key`)."""
    return bound(
        insert(jobs)
        .values(created_at=now(), **values)
        .on_conflict_do_nothing(index_elements=[jobs.c.tenant_id, jobs.c.idempotency_key])
        .returning(jobs.c.id)
    )


def job_by_idempotency_key(tenant: str, key: str) -> Bound:
    """The job that this key made, and the digest of the request that made it."""
    mine = (jobs.c.tenant_id == tenant) & (jobs.c.idempotency_key == key)
    return bound(select(jobs.c.id, jobs.c.request_sha256).where(mine))


def open_items(tenant: str) -> Bound:
    """How many items are open, and the tenant's own limit.

    `open` counts the tenant's exactly. `of_all` counts everybody's: the items of unfinished jobs less what is tallied,
    because an exact count would read every waiting chunk.
    """
    unfinished = chunks.c.state.in_(UNFINISHED_CHUNK_STATES)
    missing = func.coalesce(func.sum(chunks.c.hi - chunks.c.lo - chunks.c.n_ok - chunks.c.n_err), 0)
    waiting = (
        select(missing)
        .join_from(chunks, jobs, jobs.c.id == chunks.c.job_id)
        .where(jobs.c.tenant_id == tenant, jobs.c.tile_of.is_(None), unfinished)
        .scalar_subquery()
    )
    ingesting = (jobs.c.tenant_id == tenant) & (jobs.c.state == JobState.INGESTING)  # their chunks are not cut yet
    listed = select(func.coalesce(func.sum(jobs.c.n_items), 0)).where(ingesting).scalar_subquery()
    counts = (waiting + listed).label("open"), func.open_items_of_all().label("of_all")
    return bound(select(*counts, tenants.c.max_open_items).where(tenants.c.id == tenant))


INSERT_ITEMS: Final = """
    INSERT INTO items (job_id, index, custom_id, image, prompts, tile)
    SELECT %s, u.index, u.custom_id, u.image, u.prompts::jsonb, u.tile::jsonb
    FROM unnest(%s::int[], %s::text[], %s::text[], %s::text[], %s::text[]) AS u(index, custom_id, image, prompts, tile)
"""
"""For psycopg's `cursor.execute`: the job, then a list for each column. Not COPY, which Postgres refuses
for a table with policies."""
COPY_ITEMS: Final = "COPY items (job_id, index, custom_id, image, prompts, tile) FROM STDIN"
"""Not a statement for `execute`, but for psycopg's `cursor.copy`. A row: job UUID, index, custom_id, image, prompts and
tile as JSON or None."""
