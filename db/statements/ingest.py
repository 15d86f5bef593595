"""The leader's statements that turn a prefix or a manifest into items, page by page. The next page's token is kept."""

from collections.abc import Sequence
from typing import Final
from uuid import UUID

from sqlalchemy import ColumnElement, TextClause, bindparam, delete, func, select, text, update
from sqlalchemy.dialects.postgresql import insert

from db.statements.bound import Bound, bound
from db.statements.clock import now, seconds
from db.states import ItemReason, JobState, WaitReason
from db.tables import items, jobs, tallies, tenants


def ingesting_jobs() -> Bound:
    """Jobs whose prefix or manifest is not wholly read, oldest first, each with what its tenant may use."""
    source = (jobs.c.id, jobs.c.tenant_id, jobs.c.input, jobs.c.task)
    listed = (jobs.c.n_items, jobs.c.ingest_pages, jobs.c.ingest_token, jobs.c.ingest_mark)
    with_tenant = select(*source, *listed, tenants.c.places).join_from(jobs, tenants, tenants.c.id == jobs.c.tenant_id)
    return bound(with_tenant.where(jobs.c.state == JobState.INGESTING).order_by(jobs.c.id))


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


COPY_FAILED: Final = "COPY results (job_id, index, state, fence, attempt, reason, detail, retryable) FROM STDIN"
"""Like `submit.COPY_ITEMS`, for the results of items that fail before a worker has seen them."""


def count_failed(job_id: UUID, reason: ItemReason, n: int) -> Bound:
    """Count items that failed while the job was ingested. It has no chunks yet, so they are tallied at once."""
    added = insert(tallies).values(job_id=job_id, reason=reason.value, n=n)
    key = [tallies.c.job_id, tallies.c.reason]
    return bound(added.on_conflict_do_update(index_elements=key, set_={"n": tallies.c.n + added.excluded.n}))


def forget_counts(job_id: UUID) -> Bound:
    """Before `cut_chunks_with_results`, whose chunks have the same counts."""
    return bound(delete(tallies).where(tallies.c.job_id == job_id))


def n_failed(job_id: UUID) -> Bound:
    """How many items `count_failed` has counted."""
    return bound(select(func.coalesce(func.sum(tallies.c.n), 0)).where(tallies.c.job_id == job_id))


def taken_ids(job_id: UUID, custom_ids: Sequence[str]) -> Bound:
    """Those of the ids that items of the job have."""
    taken = select(items.c.custom_id).where(items.c.job_id == job_id, items.c.custom_id == func.any(list(custom_ids)))
    return bound(taken)


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


def cut_chunks_with_results(job_id: UUID) -> Bound:
    """The same for a job with results: its chunks count them, and a chunk without a missing item is done.

    A chunk with results has the fence of a chunk that was claimed once, because only such chunks are counted.
    """
    return bound(_CUT_CHUNKS_WITH_RESULTS, job_id=job_id)


_CUT_CHUNKS_WITH_RESULTS: Final[TextClause] = text(
    """
    WITH counted AS (
      SELECT r.index / j.chunk_size AS chunk_no, coalesce(r.reason, '') AS reason, count(*)::int AS n
      FROM jobs j JOIN results r ON r.job_id = j.id WHERE j.id = :job_id GROUP BY 1, 2),
    summed AS (
      SELECT chunk_no, coalesce(sum(n) FILTER (WHERE reason = ''), 0)::int AS n_ok,
        coalesce(sum(n) FILTER (WHERE reason <> ''), 0)::int AS n_err,
        coalesce(jsonb_object_agg(reason, n) FILTER (WHERE reason <> ''), '{}') AS reasons
      FROM counted GROUP BY chunk_no),
    cut AS (
      SELECT n AS chunk_no, n * j.chunk_size AS lo, least((n + 1) * j.chunk_size, j.n_items) AS hi
      FROM jobs j, generate_series(0, (j.n_items - 1) / j.chunk_size) n WHERE j.id = :job_id)
    INSERT INTO chunks (job_id, chunk_no, lo, hi, state, fence, n_ok, n_err, reasons)
    SELECT :job_id, c.chunk_no, lo, hi,
      CASE WHEN n_ok + n_err = hi - lo THEN 'done'::chunk_state ELSE 'ready'::chunk_state END,
      CASE WHEN s.chunk_no IS NULL THEN 0 ELSE 1 END, coalesce(n_ok, 0), coalesce(n_err, 0), coalesce(reasons, '{}')
    FROM cut c LEFT JOIN summed s ON s.chunk_no = c.chunk_no
    """
).bindparams(bindparam("job_id", type_=jobs.c.id.type))
