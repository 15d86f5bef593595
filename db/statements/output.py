"""Statements on a job's output to S3: asked for at submit, written by the leader's writer once the job has ended.

A writer holds an output by a lease and a fence. Each file that is whole in the bucket becomes a row, so that the next
writer goes on behind it. A statement of a writer whose fence is old finds no row.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from sqlalchemy import (
    ColumnElement,
    Executable,
    Select,
    and_,
    bindparam,
    case,
    cast,
    func,
    insert,
    literal,
    or_,
    select,
    text,
    update,
)

from db.statements.bound import Bound, bound
from db.statements.clock import now, seconds
from db.states import OutputReason, OutputState
from db.tables import OUTPUT_STATE, items, jobs, output_shards, outputs, tenants


@dataclass(frozen=True)
class Shard:
    """A file that is whole in the bucket. It holds the items start ≤ index < stop."""

    format: str
    number: int
    start: int
    stop: int
    name: str
    size: int
    sha256: bytes


def insert_output(job_id: UUID, uri: str, formats: Sequence[str]) -> Bound:
    """Ask for the output of a new job, in the transaction that stores it."""
    return bound(insert(outputs).values(job_id=job_id, uri=uri, formats=list(formats)))


def copy_output(job_id: UUID, new: UUID) -> Bound:
    """Ask for the output of a retry as of the job that it retries, where that has one."""
    asked = select(literal(new, outputs.c.job_id.type), outputs.c.uri, outputs.c.formats).where(
        outputs.c.job_id == job_id
    )
    return bound(insert(outputs).from_select(["job_id", "uri", "formats"], asked))


def waiting_outputs(*, of_tenant: int) -> Bound:
    """Outputs that may be claimed: a few of each tenant, those whose jobs are oldest."""
    return bound(_WAITING, of_tenant=of_tenant)


def claim(job_id: UUID, holder: str, *, lease_seconds: float) -> Bound:
    """Hold an output until the lease ends, `fence + 1`. No row: somebody else holds it, or there is nothing to do.

    It counts as a try until the writer records a file or says what was in its way. A writer that dies says nothing.
    """
    taken = (
        update(outputs)
        .where(outputs.c.job_id == job_id, outputs.c.job_id == jobs.c.id, _MAY_BE_CLAIMED)
        .values(
            state=OutputState.WRITING,
            fence=outputs.c.fence + 1,
            tries=outputs.c.tries + 1,
            holder=holder,
            lease_until=now() + seconds(lease_seconds),
            run_after=None,
        )
        .returning(*_CLAIMED)
    )
    return bound(taken)


def renew(job_id: UUID, fence: int, *, lease_seconds: float) -> Bound:
    """Keep the lease. No row: it is lost, or the job is deleted."""
    until = now() + seconds(lease_seconds)
    return bound(update(outputs).where(_held(job_id, fence)).values(lease_until=until).returning(outputs.c.job_id))


def add_shard(job_id: UUID, fence: int, shard: Shard, *, lease_seconds: float) -> Bound:
    """Record a file that is whole in the bucket: progress, so failed tries count anew. No row: the lease is lost."""
    held = (
        update(outputs)
        .where(_held(job_id, fence))
        .values(lease_until=now() + seconds(lease_seconds), tries=0, failing_since=None, **_NO_ERROR)
        .returning(outputs.c.job_id)
        .cte("held")
    )
    columns = {name: literal(value, output_shards.c[name].type) for name, value in vars(shard).items()}
    row = select(held.c.job_id, *columns.values())
    return bound(insert(output_shards).from_select(["job_id", *columns], row).returning(output_shards.c.number))


def shards(job_id: UUID, *, most: int | None = None) -> Bound:
    """The files of a job's output, those of a format in order of their items."""
    query = select(*(c for c in output_shards.c if c.name != "job_id")).where(output_shards.c.job_id == job_id)
    return bound(query.order_by(output_shards.c.format, output_shards.c.number).limit(most))


def is_there(job_id: UUID) -> Bound:
    """No row: the job is deleted."""
    return bound(select(outputs.c.job_id).where(outputs.c.job_id == job_id))


def give_back(job_id: UUID, fence: int) -> Bound:
    """writing → pending, so that another may go on at once."""
    given = update(outputs).where(_held(job_id, fence)).values(state=OutputState.PENDING, tries=0, **_LET_GO)
    return bound(given.returning(outputs.c.job_id))


def put_off(job_id: UUID, fence: int, *, reason: OutputReason, detail: str, patience_seconds: float) -> Bound:
    """writing → pending, to be tried again after a while; or failed, where this has lasted for too long.

    The wait grows with the time since the first failure. Unexpected errors go on counting as tries.
    """
    lasted = func.coalesce(now() - outputs.c.failing_since, seconds(0.0))
    over = lasted > seconds(patience_seconds)
    state = case((over, _state(OutputState.FAILED)), else_=_state(OutputState.PENDING))
    unexpected = reason == OutputReason.INTERNAL
    return bound(
        update(outputs)
        .where(_held(job_id, fence))
        .values(
            state=state,
            ended_at=case((over, now())),
            tries=outputs.c.tries if unexpected else 0,
            failing_since=func.coalesce(outputs.c.failing_since, now()),
            run_after=now() + func.least(seconds(_LONGEST_WAIT), func.greatest(seconds(_SHORTEST_WAIT), lasted / 2)),
            error_reason=reason,
            error_detail=detail,
            **_LET_GO,
        )
        .returning(outputs.c.state)
    )


def fail(job_id: UUID, fence: int, *, reason: OutputReason, detail: str) -> Bound:
    """writing → failed."""
    ended = {"state": OutputState.FAILED, "ended_at": now(), "error_reason": reason, "error_detail": detail}
    return bound(update(outputs).where(_held(job_id, fence)).values(**ended, **_LET_GO).returning(outputs.c.state))


def complete(job_id: UUID, fence: int) -> Bound:
    """writing → complete: every file and the manifest are in the bucket. No row: the lease is lost."""
    ended = {"state": OutputState.COMPLETE, "ended_at": now(), "tries": 0, "failing_since": None}
    return bound(
        update(outputs).where(_held(job_id, fence)).values(**ended, **_NO_ERROR, **_LET_GO).returning(outputs.c.job_id)
    )


def next_stop(job_id: UUID, *, start: int, rows: int, weight: float) -> Bound:
    """Where a file that begins at item `start` may end: `stop`, the weight of its items, how many are taken and seen.

    An item weighs about as many bytes as its JSON with the masks. At least one item is taken, of `rows` that are seen.
    """
    return bound(_NEXT_STOP, job_id=job_id, start=start, rows=rows, weight=weight)


_CLAIMED: Final = (
    outputs.c.fence,
    outputs.c.uri,
    outputs.c.formats,
    outputs.c.tries,
    jobs.c.tenant_id,
    jobs.c.n_items,
    select(tenants.c.places).where(tenants.c.id == jobs.c.tenant_id).scalar_subquery().label("places"),
)
_SHORTEST_WAIT: Final = 1.0
_LONGEST_WAIT: Final = 300.0
_LET_GO: Final = {"holder": None, "lease_until": None}
_NO_ERROR: Final = {"error_reason": None, "error_detail": None}
_OPEN: Final = outputs.c.state.in_([OutputState.PENDING, OutputState.WRITING])
_MAY_BE_CLAIMED: Final = and_(
    _OPEN,
    jobs.c.ended_at.is_not(None),
    or_(outputs.c.lease_until.is_(None), outputs.c.lease_until < now()),
    or_(outputs.c.run_after.is_(None), outputs.c.run_after <= now()),
)


def _state(state: OutputState) -> ColumnElement[OutputState]:
    return cast(literal(state, OUTPUT_STATE), OUTPUT_STATE)


def _held(job_id: UUID, fence: int) -> ColumnElement[bool]:
    return and_(outputs.c.job_id == job_id, outputs.c.fence == fence, outputs.c.state == OutputState.WRITING)


def _waiting() -> Select[Any]:
    place = func.row_number().over(partition_by=jobs.c.tenant_id, order_by=jobs.c.id).label("place")
    ready = (
        select(outputs.c.job_id, jobs.c.tenant_id, place)
        .join_from(outputs, jobs, jobs.c.id == outputs.c.job_id)
        .where(_MAY_BE_CLAIMED)
        .subquery("ready")
    )
    return (
        select(ready.c.job_id, ready.c.tenant_id)
        .where(ready.c.place <= bindparam("of_tenant"))
        .order_by(ready.c.job_id)
    )


_WAITING: Final = _waiting()
_NEXT_STOP: Final[Executable] = text(
    """
    WITH page AS MATERIALIZED (
      SELECT i.index, 600 + length(i.image) + 2 * length(i.custom_id)
        + coalesce(octet_length(r.rle)::bigint * CASE r.codec WHEN 0 THEN 1 ELSE 4 END, 0)
        + coalesce(cardinality(r.masks) * 400, 0) AS weight
      FROM items i LEFT JOIN results r ON r.job_id = i.job_id AND r.index = i.index AND r.index >= :start
      WHERE i.job_id = :job_id AND i.index >= :start ORDER BY i.index LIMIT :rows),
    summed AS (SELECT index, weight, sum(weight) OVER (ORDER BY index) AS upto FROM page),
    taken AS (SELECT index, weight FROM summed WHERE upto <= :weight OR upto = weight)
    SELECT max(index) + 1 AS stop, sum(weight)::float8 AS weight, count(*) AS taken,
      (SELECT count(*) FROM page) AS seen FROM taken
    """
).bindparams(bindparam("job_id", type_=items.c.job_id.type))
