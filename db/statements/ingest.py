"""The leader's statements for listing a prefix into items, page by page, resumable behind `ingest_cursor`."""

from typing import Any
from uuid import UUID

from sqlalchemy import Select, TextClause, Update, select, text, update

from db.states import JobState
from db.tables import jobs


def ingesting_jobs() -> Select[Any]:
    """Jobs whose prefix is not wholly listed, oldest first."""
    columns = (jobs.c.id, jobs.c.input, jobs.c.task, jobs.c.n_items, jobs.c.ingest_cursor)
    return select(*columns).where(jobs.c.state == JobState.INGESTING).order_by(jobs.c.id)


def advance(job_id: UUID, cursor: str | None, n_items: int, page: int) -> Update:
    """Count a page of items in the transaction that copied it. No row: cancelled, or another leader was faster."""
    at_cursor = jobs.c.ingest_cursor.is_not_distinct_from(cursor)
    return (
        update(jobs)
        .where(jobs.c.id == job_id, jobs.c.state == JobState.INGESTING, at_cursor)
        .values(n_items=n_items + page)
        .returning(jobs.c.id)
    )


def move_cursor(job_id: UUID, cursor: str) -> Update:
    return update(jobs).where(jobs.c.id == job_id).values(ingest_cursor=cursor)


def open_job(job_id: UUID, chunk_size: int) -> Update:
    """ingesting → pending, once everything is listed; the same transaction cuts the chunks."""
    return (
        update(jobs)
        .where(jobs.c.id == job_id, jobs.c.state == JobState.INGESTING)
        .values(state=JobState.PENDING, chunk_size=chunk_size)
        .returning(jobs.c.n_items)
    )


CUT_CHUNKS: TextClause = text(
    """
    INSERT INTO chunks (job_id, chunk_no, lo, hi)
    SELECT j.id, n, n * j.chunk_size, least((n + 1) * j.chunk_size, j.n_items)
    FROM jobs j, generate_series(0, (j.n_items - 1) / j.chunk_size) n WHERE j.id = :job_id
    """
)
"""One statement for all chunks of a job, whatever its size."""
