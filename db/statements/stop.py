"""Statements that end a job: because of a client, a deadline or its failures; or because its last chunk has ended.

`db.endings` runs them in order.
"""

from typing import Final
from uuid import UUID

from sqlalchemy import (
    BindParameter,
    ColumnElement,
    Executable,
    and_,
    bindparam,
    case,
    cast,
    exists,
    func,
    insert,
    literal,
    select,
    update,
)

from db.statements.bound import Bound, bound
from db.statements.clock import now
from db.statements.lease import LET_GO
from db.states import STOP_STATE, UNFINISHED_CHUNK_STATES, UNFINISHED_JOB_STATES, ChunkState, JobReason, JobState
from db.tables import JOB_STATE, chunks, jobs, outbox

_UNFINISHED_CHUNK = chunks.c.state.in_(UNFINISHED_CHUNK_STATES)
_UNFINISHED_JOB = jobs.c.state.in_(UNFINISHED_JOB_STATES)


def lock_job(job_id: UUID) -> Bound:
    """The job's state, its row locked against every other end of it. No row: no such job."""
    return bound(select(jobs.c.state).where(jobs.c.id == job_id).with_for_update(key_share=True))


def cancel_chunks(job_id: UUID) -> Bound:
    """Take every unfinished chunk from its holder: `fence + 1`, so no later write of the holder passes."""
    return bound(
        update(chunks)
        .where(chunks.c.job_id == job_id, _UNFINISHED_CHUNK)
        .values(state=ChunkState.CANCELLED, fence=chunks.c.fence + 1, **LET_GO)
    )


def stop_job(job_id: UUID, *, reason: JobReason, detail: str | None) -> Bound:
    """unfinished → the reason's final state, with its one outbox row. No row: the job had ended before."""
    return bound(_end(job_id, _UNFINISHED_JOB, _state(STOP_STATE[reason]), reason, detail))


def finish_job(job_id: UUID) -> Bound:
    """running → succeeded | partially_succeeded | failed, with its one outbox row. No row: a chunk is unfinished."""
    return bound(_FINISH_JOB, of_job=job_id)


def _state(state: JobState) -> ColumnElement[JobState]:
    return cast(literal(state, JOB_STATE), JOB_STATE)


def _end(
    job_id: UUID | BindParameter[UUID],
    guard: ColumnElement[bool],
    state: ColumnElement[JobState],
    reason: JobReason | None,
    detail: str | None,
) -> Executable:
    ended = (
        update(jobs)
        .where(jobs.c.id == job_id, guard)
        .values(state=state, ended_at=now(), error_reason=reason, error_detail=detail)
        .returning(jobs.c.id, jobs.c.state, jobs.c.tile_of)
        .cte("ended")
    )
    event = insert(outbox).from_select(
        ["job_id", "kind", "created_at"],
        select(ended.c.id, literal("job.ended"), now()),
    )
    return select(ended.c.id, ended.c.state, ended.c.tile_of).add_cte(event.cte("event"))


def _finish_job() -> Executable:
    job = bindparam("of_job", type_=jobs.c.id.type)
    of_job = chunks.c.job_id == job
    n_ok = select(func.sum(chunks.c.n_ok)).where(of_job).scalar_subquery()
    n_err = select(func.sum(chunks.c.n_err)).where(of_job).scalar_subquery()
    outcome = case(
        (n_err == 0, _state(JobState.SUCCEEDED)),
        (n_err > jobs.c.max_failure_ratio * jobs.c.n_items, _state(JobState.FAILED)),
        (n_ok == 0, _state(JobState.FAILED)),
        else_=_state(JobState.PARTIALLY_SUCCEEDED),
    )
    unfinished = exists().where(and_(of_job, _UNFINISHED_CHUNK))
    return _end(job, and_(jobs.c.state == JobState.RUNNING, ~unfinished), outcome, None, None)


_FINISH_JOB: Final = _finish_job()
