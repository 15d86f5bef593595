"""Ending a job: stopped by a client, a deadline or its failure ratio; or finished because its last chunk ended.

Run `lock_job`, `cancel_chunks`, `stop_job`, `wake_dispatcher` in one transaction, in that order. Cancelling the
chunks is what fails their workers' fences; locking the job first keeps the order job → chunk of every transaction.
"""

from typing import Final
from uuid import UUID

from sqlalchemy import (
    BindParameter,
    ColumnElement,
    Executable,
    Select,
    Update,
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

from db.statements.lease import LET_GO, Bound
from db.states import (
    FINAL_CHUNK_STATES,
    FINAL_JOB_STATES,
    STOP_STATE,
    WAKE_CHANNEL,
    ChunkState,
    JobReason,
    JobState,
)
from db.tables import JOB_STATE, chunks, jobs, outbox

_UNFINISHED_CHUNK = chunks.c.state.in_([s for s in ChunkState if s not in FINAL_CHUNK_STATES])
_UNFINISHED_JOB = jobs.c.state.in_([s for s in JobState if s not in FINAL_JOB_STATES])


def _state(state: JobState) -> ColumnElement[JobState]:
    return cast(literal(state, JOB_STATE), JOB_STATE)


def lock_job(job_id: UUID) -> Select[JobState]:
    """The job's state, its row locked against every other ending of it. No row: no such job."""
    return select(jobs.c.state).where(jobs.c.id == job_id).with_for_update(key_share=True)


def cancel_chunks(job_id: UUID) -> Update:
    """Take every unfinished chunk from whoever has it: `fence + 1`, so that no later write of theirs passes."""
    return (
        update(chunks)
        .where(chunks.c.job_id == job_id, _UNFINISHED_CHUNK)
        .values(
            state=ChunkState.CANCELLED,
            fence=chunks.c.fence + 1,
            **LET_GO,
        )
    )


def stop_job(job_id: UUID, reason: JobReason, detail: str | None = None) -> Executable:
    """unfinished → the reason's final state, with its one outbox row. No row: somebody ended it before."""
    return _end(job_id, _UNFINISHED_JOB, _state(STOP_STATE[reason]), reason, detail)


def finish_job(job_id: UUID) -> Bound:
    """running → succeeded | partially_succeeded | failed, once no chunk is unfinished, with its one outbox row.

    To be run in a transaction of its own after the one that ended a chunk: inside that one, two chunks that end
    together do not see each other and nobody finishes the job (measured: 90 of 150 jobs).
    """
    return _FINISH_JOB, {"of_job": job_id}


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
        .values(state=state, ended_at=func.clock_timestamp(), error_reason=reason, error_detail=detail)
        .returning(jobs.c.id, jobs.c.state)
        .cte("ended")
    )
    event = insert(outbox).from_select(
        ["job_id", "kind", "created_at"],
        select(ended.c.id, literal("job.ended"), func.clock_timestamp()),
    )
    return select(ended.c.id, ended.c.state).add_cte(event.cte("event"))


def _finish_job() -> Executable:
    """Built once: every chunk that ends asks for it."""
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


def wake_dispatcher() -> Select[None]:
    """Wake the leader at this transaction's commit."""
    return select(func.pg_notify(WAKE_CHANNEL, ""))
