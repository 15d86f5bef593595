"""The worker's statements: claim a chunk, keep it, write a batch, end it, give it back.

Each is guarded by the fence. No row back means that somebody else holds the chunk now. That is a value, not an error:
the caller rolls back and lets go.
"""

from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    ColumnElement,
    Executable,
    Float,
    FromClause,
    Integer,
    and_,
    bindparam,
    func,
    select,
    text,
    update,
)
from sqlalchemy.dialects.postgresql import insert

from db.queues import PROTOCOL
from db.statements.bound import Bound, bound
from db.statements.clock import now, seconds
from db.statements.leader import WAKE_CHANNEL
from db.states import OPEN_JOB_STATES, ChunkState, JobState
from db.tables import chunks, items, jobs, results, suspects, tenants


@dataclass(frozen=True)
class Fence:
    """What a worker must show to write: the chunk, and the number that its claim got."""

    job_id: UUID
    chunk_no: int
    fence: int


# The names of parameters differ from those of columns: SQLAlchemy keeps the latter for the values of an UPDATE.
_JOB = bindparam("of_job", type_=jobs.c.id.type)
_CHUNK = bindparam("of_chunk", type_=Integer)
_LEASE_UNTIL = now() + seconds(bindparam("lease", type_=Float))
_INFLIGHT = bindparam("now_inflight", type_=ARRAY(Integer))
_HELD = and_(
    chunks.c.job_id == _JOB,
    chunks.c.chunk_no == _CHUNK,
    chunks.c.state == ChunkState.LEASED,
    chunks.c.fence == bindparam("of_fence"),
)


def _of_holder(statement: Executable, fence: Fence, **values: Any) -> Bound:
    return bound(statement, of_job=fence.job_id, of_chunk=fence.chunk_no, of_fence=fence.fence, **values)


LET_GO: Final[dict[str, Any]] = {"worker": None, "lease_until": None, "inflight": text("'{}'"), "alone": False}
"""The columns of a chunk that nobody holds. Every statement that takes a chunk out of `leased` sets them."""


def start_job(job_id: UUID) -> Bound:
    """pending → running, by the first claim of a job. Before `claim` in its transaction: locks go job → chunk."""
    return bound(_START_JOB, of_job=job_id)


_START_JOB: Final = (
    update(jobs)
    .where(jobs.c.id == _JOB, jobs.c.state == JobState.PENDING)
    .values(state=JobState.RUNNING, started_at=now())
)


def claim(job_id: UUID, chunk_no: int, *, worker: str, lease_seconds: float, knows: int = PROTOCOL) -> Bound:
    """ready | dispatched → leased, `fence + 1`, one attempt charged. One row: everything the worker needs.

    No row for a job of a protocol that the worker does not know.
    """
    return bound(_CLAIM, of_job=job_id, of_chunk=chunk_no, by_worker=worker, lease=lease_seconds, knows=knows)


_CLAIM: Final = (
    update(chunks)
    .where(
        chunks.c.job_id == _JOB,
        chunks.c.chunk_no == _CHUNK,
        chunks.c.state.in_([ChunkState.READY, ChunkState.DISPATCHED]),
        (chunks.c.run_after.is_(None)) | (chunks.c.run_after <= now()),
        jobs.c.id == chunks.c.job_id,
        jobs.c.state.in_(OPEN_JOB_STATES),
        (jobs.c.deadline.is_(None)) | (jobs.c.deadline > now()),
        jobs.c.protocol <= bindparam("knows", type_=Integer),
    )
    .values(
        state=ChunkState.LEASED,
        fence=chunks.c.fence + 1,
        attempts=chunks.c.attempts + 1,
        worker=bindparam("by_worker"),
        lease_until=_LEASE_UNTIL,
        run_after=None,
        inflight=text("'{}'"),
        alone=False,
        parked=False,
    )
    .returning(
        chunks.c.job_id,
        chunks.c.fence,
        chunks.c.attempts,
        chunks.c.lo,
        chunks.c.hi,
        chunks.c.reasons,
        chunks.c.dispatched_at,
        jobs.c.model,
        jobs.c.precision,
        jobs.c.task,
        jobs.c.prompts,
        jobs.c.tenant_id,
        jobs.c.reuse,
        jobs.c.input,
        jobs.c.protocol,
        jobs.c.tile_of,
        jobs.c.created_at,
        jobs.c.traceparent,
        jobs.c.state.label("job_state"),
        select(tenants.c.places).where(tenants.c.id == jobs.c.tenant_id).scalar_subquery().label("places"),
    )
)


def missing_items(job_id: UUID, *, lo: int, hi: int) -> Bound:
    """Items lo ≤ index < hi without a result, and whether each is a suspect: what a claim has to work on."""
    return bound(_MISSING_ITEMS, of_job=job_id, lo=lo, hi=hi)


def _here(table: FromClause) -> ColumnElement[bool]:
    index = table.c["index"]
    return and_(table.c.job_id == _JOB, index >= bindparam("lo"), index < bindparam("hi"))


# Each table has bounds of its own: with bounds on items alone, Postgres may choose to read all results of the job.
_MISSING_ITEMS: Final = (
    select(items.c.index, items.c.image, items.c.prompts, suspects.c.index.is_not(None).label("suspect"), items.c.tile)
    .outerjoin(results, and_(_here(results), results.c.index == items.c.index))
    .outerjoin(suspects, and_(_here(suspects), suspects.c.index == items.c.index))
    .where(_here(items), results.c.index.is_(None))
    # Suspects with few deaths first, so that none uses up the chunk's attempts before the others have run.
    .order_by(func.coalesce(suspects.c.deaths, 0), items.c.index)
)


def renew(fence: Fence, *, lease_seconds: float) -> Bound:
    """The heartbeat."""
    return _of_holder(_RENEW, fence, lease=lease_seconds)


_RENEW: Final = update(chunks).where(_HELD).values(lease_until=_LEASE_UNTIL).returning(chunks.c.chunk_no)


def admit(fence: Fence, *, lease_seconds: float, inflight: list[int], alone: bool) -> Bound:
    """Write down which images are about to be fetched, decoded or computed, before any of them is touched."""
    return _of_holder(_ADMIT, fence, lease=lease_seconds, now_inflight=inflight, now_alone=alone)


_ADMIT: Final = _RENEW.values(inflight=_INFLIGHT, alone=bindparam("now_alone"))


def record(fence: Fence, *, lease_seconds: float, more_ok: int, reasons: dict[str, int], inflight: list[int]) -> Bound:
    """Count a batch and what stays in flight. The same transaction inserts the results.

    `reasons` counts the failures of the whole chunk, which only its holder changes, so `n_err` is its sum.
    """
    counts = {"more_ok": more_ok, "all_err": sum(reasons.values()), "all_reasons": reasons}
    return _of_holder(_RECORD, fence, lease=lease_seconds, now_inflight=inflight, **counts)


_RECORD: Final = (
    update(chunks)
    .where(_HELD)
    .values(
        n_ok=chunks.c.n_ok + bindparam("more_ok"),
        n_err=bindparam("all_err"),
        reasons=bindparam("all_reasons"),
        stalls=0,
        inflight=_INFLIGHT,
        alone=False,
        lease_until=_LEASE_UNTIL,
    )
    .returning((chunks.c.hi - chunks.c.lo - chunks.c.n_ok - chunks.c.n_err).label("missing"))
)


def insert_results(rows: list[dict[str, Any]]) -> Bound:
    """One row for each result, in the transaction of `record`. A second result for an item violates the key."""
    return Bound(_INSERT_RESULTS, rows)


_INSERT_RESULTS: Final = insert(results)


def clear_suspects(job_id: UUID, indexes: list[int]) -> Bound:
    """These have a result now, so no longer need to run alone."""
    return bound(_CLEAR_SUSPECTS, of_job=job_id, indexes=indexes)


_CLEAR_SUSPECTS: Final = suspects.delete().where(
    suspects.c.job_id == _JOB, suspects.c.index.in_(bindparam("indexes", expanding=True))
)


def complete(fence: Fence) -> Bound:
    """leased → done, in the transaction that wrote the chunk's last result. Wakes the dispatcher when it commits."""
    return _of_holder(_COMPLETE, fence)


_COMPLETE: Final = (
    update(chunks)
    .where(_HELD, chunks.c.n_ok + chunks.c.n_err == chunks.c.hi - chunks.c.lo)
    .values(state=ChunkState.DONE, **LET_GO)
    .returning(chunks.c.chunk_no, func.pg_notify(WAKE_CHANNEL, ""))
)


def give_back(fence: Fence) -> Bound:
    """leased → ready, `fence + 1`, the attempt not charged."""
    return _of_holder(_GIVE_BACK, fence)


_GIVE_BACK: Final = (
    update(chunks)
    .where(_HELD)
    .values(
        state=ChunkState.READY,
        fence=chunks.c.fence + 1,
        attempts=func.greatest(chunks.c.attempts - 1, 0),
        dispatched_at=None,
        **LET_GO,
    )
    .returning(chunks.c.chunk_no)
)


def park(fence: Fence, *, seconds_at_most: float) -> Bound:
    """As `give_back`, where every missing item waits for its tiles: `tiles.release` lets it go on, or else the time."""
    return _of_holder(_PARK, fence, at_most=seconds_at_most)


_PARK: Final = _GIVE_BACK.values(parked=True, run_after=now() + seconds(bindparam("at_most", type_=Float)))
