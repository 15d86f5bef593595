"""Statements that remove jobs by their age: first from their tenant, at once, then their rows, a few at a time.

A job without a tenant is found by no route, and by no search for results to take over. What reads it meanwhile, as an
export, ends as it would for a deleted job.
"""

from typing import Final
from uuid import UUID

from sqlalchemy import TextClause, delete, select, text

from db.statements.bound import Bound, bound
from db.tables import chunks, items, jobs, results


def take_from_tenants(*, days: float, most: int) -> Bound:
    """Take from their tenants at most `most` jobs that ended more than `days` ago. Returns their ids.

    A job with an output or a webhook under way stays until that is settled. So does one that is being retried just now.
    """
    return bound(_TAKE, days=days, most=most)


def removed_jobs(*, most: int) -> Bound:
    """Jobs without a tenant, the oldest first."""
    return bound(select(jobs.c.id).where(jobs.c.tenant_id.is_(None)).order_by(jobs.c.id).limit(most))


def remove_rows(table: str, job_id: UUID, *, start: int, most: int) -> Bound:
    """Remove at most `most` rows of a job from `results`, `items` or `chunks`. Returns how many, and the last number.

    `start` is behind the last rows that were removed, so that their remains in the index are not read again.
    """
    return bound(_REMOVE_ROWS[table], job_id=job_id, start=start, most=most)


def remove_job(job_id: UUID) -> Bound:
    """Remove a job without a tenant, and the few rows that are left of it."""
    return bound(delete(jobs).where(jobs.c.id == job_id, jobs.c.tenant_id.is_(None)).returning(jobs.c.id))


def forget_events(*, days: float, most: int) -> Bound:
    """Remove the oldest rows of the outbox where they are older than so many days. Returns their ids."""
    return bound(_FORGET_EVENTS, days=days, most=most)


_TAKE: Final[TextClause] = text(
    """
    UPDATE jobs SET tenant_id = NULL WHERE id IN (
      SELECT j.id FROM jobs j
      WHERE j.ended_at < clock_timestamp() - :days * interval '1 day' AND j.tenant_id IS NOT NULL
        AND NOT EXISTS (SELECT FROM outputs o WHERE o.job_id = j.id AND o.state IN ('pending', 'writing'))
        AND NOT EXISTS (SELECT FROM webhooks w WHERE w.job_id = j.id AND w.state = 'pending')
      ORDER BY j.ended_at LIMIT :most FOR UPDATE SKIP LOCKED)
    RETURNING id
    """
)
_REMOVE_ROWS: Final[dict[str, TextClause]] = {
    table.name: text(
        f"""
        WITH page AS (
          SELECT {number} FROM {table.name} WHERE job_id = :job_id AND {number} >= :start
          ORDER BY {number} LIMIT :most),
        gone AS (
          DELETE FROM {table.name} WHERE job_id = :job_id AND {number} >= :start
            AND {number} <= (SELECT max({number}) FROM page) RETURNING {number})
        SELECT count(*) AS n, max({number}) AS last FROM gone
        """
    )
    for table, number in ((results, "index"), (items, "index"), (chunks, "chunk_no"))
}
_FORGET_EVENTS: Final[TextClause] = text(
    """
    DELETE FROM outbox WHERE id IN (SELECT id FROM outbox ORDER BY id LIMIT :most)
      AND created_at < clock_timestamp() - :days * interval '1 day'
    RETURNING id
    """
)
