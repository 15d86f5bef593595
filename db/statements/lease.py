"""The worker's statements: claim a chunk, keep it, write a batch, end it, give it back.

Every one is guarded by the fence. No row back means that somebody else holds the chunk now: a value, not an error;
the caller rolls back and lets go. All times are the database's.
"""

from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import ARRAY, ColumnElement, Delete, Integer, Select, Update, and_, func, literal, select, text, update
from sqlalchemy.dialects.postgresql import insert

from db.states import OPEN_JOB_STATES, WAKE_CHANNEL, ChunkState, JobState
from db.tables import chunks, items, jobs, results, suspects


@dataclass(frozen=True)
class Fence:
    """What a worker must show to write: the chunk and the number that its claim got."""

    job_id: UUID
    chunk_no: int
    fence: int


def seconds(n: float) -> ColumnElement[object]:
    return func.make_interval(0, 0, 0, 0, 0, 0, literal(n))


def now() -> ColumnElement[object]:
    """The database's clock, also inside a long transaction."""
    return func.clock_timestamp()


def _held(fence: Fence) -> ColumnElement[bool]:
    return and_(
        chunks.c.job_id == fence.job_id,
        chunks.c.chunk_no == fence.chunk_no,
        chunks.c.state == ChunkState.LEASED,
        chunks.c.fence == fence.fence,
    )


LET_GO = {"worker": None, "lease_until": None, "inflight": text("'{}'"), "alone": False}
"""Columns of a chunk that nobody holds: set by whatever statement takes it out of `leased`."""


def start_job(job_id: UUID) -> Update:
    """pending → running, by the first claim of a job. Before `claim` in its transaction: locks go job → chunk."""
    return (
        update(jobs)
        .where(jobs.c.id == job_id, jobs.c.state == JobState.PENDING)
        .values(state=JobState.RUNNING, started_at=now())
    )


def claim(job_id: UUID, chunk_no: int, worker: str, lease_seconds: float) -> Update:
    """ready | dispatched → leased, `fence + 1`, one attempt charged. One row: everything the worker needs."""
    return (
        update(chunks)
        .where(
            chunks.c.job_id == job_id,
            chunks.c.chunk_no == chunk_no,
            chunks.c.state.in_([ChunkState.READY, ChunkState.DISPATCHED]),
            (chunks.c.run_after.is_(None)) | (chunks.c.run_after <= now()),
            jobs.c.id == chunks.c.job_id,
            jobs.c.state.in_(OPEN_JOB_STATES),
            (jobs.c.deadline.is_(None)) | (jobs.c.deadline > now()),
        )
        .values(
            state=ChunkState.LEASED,
            fence=chunks.c.fence + 1,
            attempts=chunks.c.attempts + 1,
            worker=worker,
            lease_until=now() + seconds(lease_seconds),
            run_after=None,
            inflight=text("'{}'"),
            alone=False,
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
            jobs.c.created_at,
            jobs.c.state.label("job_state"),
        )
    )


def missing_items(job_id: UUID, lo: int, hi: int) -> Select[int, str, object, bool]:
    """Items of [lo, hi) without a result, and whether each is a suspect: what a claim has to work on."""
    here = and_(items.c.job_id == job_id, items.c.index >= lo, items.c.index < hi)
    return (
        select(items.c.index, items.c.image, items.c.prompts, suspects.c.index.is_not(None).label("suspect"))
        .outerjoin(results, and_(results.c.job_id == items.c.job_id, results.c.index == items.c.index))
        .outerjoin(suspects, and_(suspects.c.job_id == items.c.job_id, suspects.c.index == items.c.index))
        .where(here, results.c.index.is_(None))
        # Of the suspects those with the fewest deaths first: none uses up the chunk's attempts before the others ran.
        .order_by(func.coalesce(suspects.c.deaths, 0), items.c.index)
    )


def renew(fence: Fence, lease_seconds: float) -> Update:
    """The heartbeat."""
    return (
        update(chunks)
        .where(_held(fence))
        .values(lease_until=now() + seconds(lease_seconds))
        .returning(chunks.c.chunk_no)
    )


def admit(fence: Fence, lease_seconds: float, inflight: list[int], alone: bool) -> Update:
    """Write down which images are about to be fetched, decoded or computed, before any of them is touched."""
    return renew(fence, lease_seconds).values(inflight=literal(inflight, ARRAY(Integer)), alone=alone)


def record(fence: Fence, lease_seconds: float, n_ok: int, reasons: dict[str, int], inflight: list[int]) -> Update:
    """Count a batch and what stays in flight; the same transaction inserts the results.

    `reasons` is the chunk's whole tally (only the holder changes it), so `n_err` is its sum.
    """
    return (
        update(chunks)
        .where(_held(fence))
        .values(
            n_ok=chunks.c.n_ok + n_ok,
            n_err=sum(reasons.values()),
            reasons=reasons,
            stalls=0,
            inflight=literal(inflight, ARRAY(Integer)),
            alone=False,
            lease_until=now() + seconds(lease_seconds),
        )
        .returning((chunks.c.hi - chunks.c.lo - chunks.c.n_ok - chunks.c.n_err).label("missing"))
    )


insert_results = insert(results)
"""Executed with one dict a result, in the transaction of `record`; a second result for an item violates the key."""


def clear_suspects(job_id: UUID, indexes: list[int]) -> Delete:
    return suspects.delete().where(suspects.c.job_id == job_id, suspects.c.index.in_(indexes))


def complete(fence: Fence) -> Update:
    """leased → done, in the transaction that wrote the chunk's last result; wakes the dispatcher as it commits."""
    return (
        update(chunks)
        .where(_held(fence), chunks.c.n_ok + chunks.c.n_err == chunks.c.hi - chunks.c.lo)
        .values(state=ChunkState.DONE, **LET_GO)
        .returning(chunks.c.chunk_no, func.pg_notify(WAKE_CHANNEL, ""))
    )


def give_back(fence: Fence) -> Update:
    """leased → ready, `fence + 1`, the attempt not charged."""
    return (
        update(chunks)
        .where(_held(fence))
        .values(
            state=ChunkState.READY,
            fence=chunks.c.fence + 1,
            attempts=func.greatest(chunks.c.attempts - 1, 0),
            dispatched_at=None,
            **LET_GO,
        )
        .returning(chunks.c.chunk_no)
    )
