"""The leader's statements that list a prefix into items, page by page. The store's token of the next page is kept."""

from typing import Final
from uuid import UUID

from sqlalchemy import ColumnElement, TextClause, delete, func, select, text, update

from db.statements.bound import Bound, bound
from db.statements.clock import now, seconds
from db.states import JobState, WaitReason
from db.tables import items, jobs


def ingesting_jobs() -> Bound:
    """Jobs whose prefix is not wholly listed, oldest first."""
    source = (jobs.c.id, jobs.c.tenant_id, jobs.c.input, jobs.c.task)
    listed = (jobs.c.n_items, jobs.c.ingest_pages, jobs.c.ingest_token, jobs.c.ingest_mark)
    return bound(select(*source, *listed).where(jobs.c.state == JobState.INGESTING).order_by(jobs.c.id))


def advance(
    job_id: UUID, pages: int, *, n_items: int, passed_over: int = 0, token: str | None = None, mark: bytes | None = None
) -> Bound:
    """Count the page after `pages` others, in the transaction that copies its items.

    `n_items` are listed once it is stored, and `token` names the next page. No row: the job has ended, or another
    leader has stored this page.
    """
    return bound(
        update(jobs)
        .where(_at_page(job_id, pages))
        .values(
            n_items=n_items,
            n_passed_over=jobs.c.n_passed_over + passed_over,
            ingest_pages=pages + 1,
            ingest_token=token,
            ingest_mark=mark,
            waiting_for=None,
            waiting_detail=None,
            waiting_since=None,
        )
        .returning(jobs.c.n_passed_over)
    )


def _at_page(job_id: UUID, pages: int) -> ColumnElement[bool]:
    return (jobs.c.id == job_id) & (jobs.c.state == JobState.INGESTING) & (jobs.c.ingest_pages == pages)


def wait(job_id: UUID, pages: int, *, reason: WaitReason, detail: str, patience_seconds: float) -> Bound:
    """Say why the next page is not listed yet. Returns whether the job has waited for longer than it may.

    No row: the job has ended, or the page is stored.
    """
    since = func.coalesce(jobs.c.waiting_since, now())
    over = (now() - jobs.c.waiting_since) > seconds(patience_seconds)
    return bound(
        update(jobs)
        .where(_at_page(job_id, pages))
        .values(waiting_for=reason, waiting_detail=detail, waiting_since=since)
        .returning(over)
    )


def forget_items(job_id: UUID) -> Bound:
    """Before the first page: what an older release listed by keys. Listing by tokens begins again."""
    return bound(delete(items).where(items.c.job_id == job_id))


def open_job(job_id: UUID, *, chunk_size: int) -> Bound:
    """ingesting → pending, once everything is listed. The same transaction cuts the chunks."""
    return bound(
        update(jobs)
        .where(jobs.c.id == job_id, jobs.c.state == JobState.INGESTING)
        .values(state=JobState.PENDING, chunk_size=chunk_size)
        .returning(jobs.c.n_items)
    )


def cut_chunks(job_id: UUID) -> Bound:
    """Every chunk of a job, by its `n_items` and `chunk_size`."""
    return bound(_CUT_CHUNKS, job_id=job_id)


_CUT_CHUNKS: Final[TextClause] = text(
    """
    INSERT INTO chunks (job_id, chunk_no, lo, hi)
    SELECT j.id, n, n * j.chunk_size, least((n + 1) * j.chunk_size, j.n_items)
    FROM jobs j, generate_series(0, (j.n_items - 1) / j.chunk_size) n WHERE j.id = :job_id
    """
)
