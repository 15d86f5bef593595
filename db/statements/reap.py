"""Repairs: leases that ran out, images that kill workers, jobs that should have ended.

Most run in the leader. They are guarded and skip locked rows, so two leaders at once only share the work.
"""

from typing import Final
from uuid import UUID

from sqlalchemy import Select, Text, and_, bindparam, exists, func, literal, select, text, update
from sqlalchemy.dialects.postgresql import insert

from db.statements.bound import Bound, bound
from db.statements.clock import now, seconds
from db.statements.lease import LET_GO, Fence
from db.statements.tally import SUCCEEDED, UNTALLIED
from db.states import (
    OPEN_JOB_STATES,
    UNFINISHED_CHUNK_STATES,
    UNFINISHED_JOB_STATES,
    ChunkState,
    ItemReason,
    JobState,
)
from db.tables import chunks, jobs, suspects, tallies

_TAKEN = (
    chunks.c.job_id,
    chunks.c.chunk_no,
    chunks.c.fence,
    chunks.c.attempts,
    chunks.c.stalls,
    chunks.c.inflight,
    chunks.c.alone,
    chunks.c.worker,
)


def expired_leases(*, limit: int) -> Bound:
    """Chunks whose worker stopped renewing, locked. Their in-flight images become suspects."""
    return bound(
        select(*_TAKEN)
        .where(chunks.c.state == ChunkState.LEASED, chunks.c.lease_until < now())
        .limit(limit)
        .with_for_update(skip_locked=True)
    )


def held_chunk(fence: Fence) -> Bound:
    """A chunk that its own worker takes back from itself, locked. No row: somebody else holds it now."""
    held = and_(chunks.c.chunk_no == fence.chunk_no, chunks.c.fence == fence.fence)
    return bound(
        select(*_TAKEN)
        .where(chunks.c.job_id == fence.job_id, held, chunks.c.state == ChunkState.LEASED)
        .with_for_update()
    )


def charge_claim(job_id: UUID, chunk_no: int, *, backoff_seconds: float) -> Bound:
    """A chunk could not be claimed: one stall, and a wait. Returns its stalls. No row: nobody may claim it now."""
    return bound(
        update(chunks)
        .where(
            chunks.c.job_id == job_id,
            chunks.c.chunk_no == chunk_no,
            chunks.c.state.in_([ChunkState.READY, ChunkState.DISPATCHED]),
            (chunks.c.run_after.is_(None)) | (chunks.c.run_after <= now()),
        )
        .values(stalls=chunks.c.stalls + 1, run_after=now() + seconds(backoff_seconds))
        .returning(chunks.c.stalls)
    )


def suspect(job_id: UUID, indexes: list[int]) -> Bound:
    """These were in flight together when a worker died. None is charged, and each runs alone next."""
    rows = [{"job_id": job_id, "index": i, "deaths": 0} for i in indexes]
    return bound(insert(suspects).values(rows).on_conflict_do_nothing())


def charge_death(job_id: UUID, index: int) -> Bound:
    """This image was alone when a worker died. Returns its deaths so far."""
    return bound(
        insert(suspects)
        .values(job_id=job_id, index=index, deaths=1)
        .on_conflict_do_update(
            index_elements=[suspects.c.job_id, suspects.c.index], set_={"deaths": suspects.c.deaths + 1}
        )
        .returning(suspects.c.deaths)
    )


def fail_items(
    job_id: UUID, chunk_no: int, *, fence: int, attempt: int, index: int | None, reason: ItemReason, detail: str
) -> Bound:
    """Record one item (`index`), or every missing one (None), of a chunk as failed. Run under the chunk's lock.

    Returns how many.
    """
    values = {"fence": fence, "attempt": attempt, "index": index, "reason": reason.value, "detail": detail}
    return bound(_FAIL_ITEMS, job_id=job_id, chunk_no=chunk_no, **values)


_FAIL_ITEMS: Final = text(
    """
    WITH failed AS (
      INSERT INTO results (job_id, index, state, fence, attempt, reason, detail, retryable)
      SELECT i.job_id, i.index, 'failed', :fence, :attempt, :reason, :detail, true
      FROM chunks c JOIN items i ON i.job_id = c.job_id AND i.index >= c.lo AND i.index < c.hi
      WHERE c.job_id = :job_id AND c.chunk_no = :chunk_no AND (:index IS NULL OR i.index = :index)
        AND NOT EXISTS (SELECT 1 FROM results r WHERE r.job_id = i.job_id AND r.index = i.index)
      RETURNING index)
    UPDATE chunks SET n_err = n_err + f.n, stalls = 0,
      reasons = reasons || jsonb_build_object(CAST(:reason AS text), coalesce((reasons ->> :reason)::int, 0) + f.n)
    FROM (SELECT count(*)::int AS n FROM failed) f
    WHERE job_id = :job_id AND chunk_no = :chunk_no AND f.n > 0
    RETURNING f.n
    """
).bindparams(
    bindparam("index", type_=suspects.c.index.type),
    bindparam("job_id", type_=chunks.c.job_id.type),
    bindparam("reason", type_=Text),
)


def take_back(job_id: UUID, chunk_no: int, *, stalls: int, backoff_seconds: float) -> Bound:
    """leased → ready (or done, where nothing is missing), `fence + 1`, to be tried again after the backoff."""
    return bound(
        update(chunks)
        .where(chunks.c.job_id == job_id, chunks.c.chunk_no == chunk_no, chunks.c.state == ChunkState.LEASED)
        .values(
            state=text("CASE WHEN n_ok + n_err = hi - lo THEN 'done' ELSE 'ready' END::chunk_state"),
            fence=chunks.c.fence + 1,
            stalls=stalls,
            run_after=now() + seconds(backoff_seconds),
            dispatched_at=None,
            **LET_GO,
        )
    )


def bury(job_id: UUID, chunk_no: int) -> Bound:
    """leased → dead: too many attempts without progress. `fail_items` ran before, in the same transaction."""
    return bound(
        update(chunks)
        .where(chunks.c.job_id == job_id, chunks.c.chunk_no == chunk_no, chunks.c.state == ChunkState.LEASED)
        .values(state=ChunkState.DEAD, fence=chunks.c.fence + 1, **LET_GO)
    )


def unfinished_jobs() -> Bound:
    """Running jobs whose chunks are all final: whoever ended the last one died before it finished the job."""
    return bound(_UNFINISHED_JOBS)


_UNFINISHED_JOBS: Final = select(jobs.c.id).where(
    jobs.c.state == JobState.RUNNING,
    ~exists().where(chunks.c.job_id == jobs.c.id, chunks.c.state.in_(UNFINISHED_CHUNK_STATES)),
)


def overdue_jobs() -> Bound:
    """Jobs that have not ended, and whose deadline has passed."""
    return bound(_OVERDUE_JOBS)


_OVERDUE_JOBS: Final = select(jobs.c.id).where(jobs.c.state.in_(UNFINISHED_JOB_STATES), jobs.c.deadline <= now())


def failing_jobs() -> Bound:
    """Open jobs whose failures exceed `max_failure_ratio` of all their items."""
    return bound(_FAILING_JOBS)


def _failing_jobs() -> Select[UUID]:
    tallied = select(func.sum(tallies.c.n)).where(tallies.c.job_id == jobs.c.id, tallies.c.reason != SUCCEEDED)
    untallied = select(func.sum(chunks.c.n_err)).where(chunks.c.job_id == jobs.c.id, UNTALLIED)
    failures = sum(func.coalesce(part.scalar_subquery(), literal(0)) for part in (tallied, untallied))
    return select(jobs.c.id).where(
        jobs.c.state.in_(OPEN_JOB_STATES),
        jobs.c.max_failure_ratio.is_not(None),
        failures > jobs.c.max_failure_ratio * jobs.c.n_items,
    )


_FAILING_JOBS: Final = _failing_jobs()
