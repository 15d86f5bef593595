"""Statements about items that are segmented by windows.

Such an item has a job of its own, whose items are its windows: the tiles. No route finds that job. It has the tenant,
the model, the priority and the deadline of the item's job, so its chunks get places in the queues as any others do.
The item's chunk is parked until the tiles have ended, and then their masks are merged into the item's one result.
"""

from collections.abc import Mapping
from typing import Any, Final
from uuid import UUID

from sqlalchemy import TextClause, bindparam, func, select, text, update
from sqlalchemy import cast as as_type
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.types import Text

from db.queues import TILED
from db.statements.bound import Bound, bound
from db.states import UNFINISHED_JOB_STATES, ResultState
from db.tables import items, jobs, results

_LIVE: Final = (jobs.c.tile_of.is_not(None), jobs.c.tenant_id.is_not(None))
"""As the index `jobs_tiles` has it."""


def under_way(job_id: UUID, *, lo: int, hi: int) -> Bound:
    """The jobs of tiles of items lo ≤ index < hi."""
    of_items = jobs.c.tile_index >= lo, jobs.c.tile_index < hi
    columns = jobs.c.id, jobs.c.tile_index, jobs.c.state, jobs.c.input
    return bound(select(*columns).where(jobs.c.tile_of == job_id, *_LIVE, *of_items))


def unfinished(job_id: UUID) -> Bound:
    """The ids of a job's jobs of tiles that have not ended."""
    return bound(select(jobs.c.id).where(jobs.c.tile_of == job_id, *_LIVE, jobs.c.state.in_(UNFINISHED_JOB_STATES)))


def insert_job(
    new: UUID, *, of: UUID, index: int, task: Mapping[str, Any], plan: Mapping[str, Any], n_tiles: int, chunk_size: int
) -> Bound:
    """The job of an item's tiles. One tile that fails ends it. No row: the item's job has ended."""
    values = {"id": new, "of": of, "index": index, "task": dict(task), "plan": dict(plan)}
    return bound(_INSERT_JOB, **values, n=n_tiles, size=chunk_size)


_INSERT_JOB: Final = text(
    """
    INSERT INTO jobs (id, tenant_id, state, model, precision, protocol, traceparent, priority, task, input, n_items,
      chunk_size, deadline, max_failure_ratio, created_at, tile_of, tile_index)
    SELECT :id, tenant_id, 'pending', model, precision, protocol, traceparent, priority, :task, :plan, :n,
      :size, deadline, 0, clock_timestamp(), id, :index
    FROM jobs WHERE id = :of AND state IN ('pending', 'running')
    RETURNING id
    """
).bindparams(
    bindparam("id", type_=jobs.c.id.type),
    bindparam("of", type_=jobs.c.id.type),
    bindparam("task", type_=JSONB),
    bindparam("plan", type_=JSONB),
)


def tiles_done(job_id: UUID, *, lo: int, hi: int) -> Bound:
    """The results of tiles lo ≤ index < hi, with their windows, in order."""
    here = items.c.job_id == job_id, items.c.index >= lo, items.c.index < hi
    of_item = (results.c.job_id == items.c.job_id) & (results.c.index == items.c.index)
    masks = as_type(func.to_json(results.c.masks), Text).label("masks")
    columns = (
        *(items.c.index.label("item_index"), items.c.tile, results.c.height, results.c.width, masks, results.c.rle),
        *(results.c.codec, results.c.phrases, results.c.scores, results.c.areas, results.c.timings_ms),
        func.cardinality(results.c.masks).label("mask_count"),
    )
    succeeded = results.c.state == ResultState.SUCCEEDED
    return bound(select(*columns).join(results, of_item).where(*here, succeeded).order_by(items.c.index))


def failed_tile(job_id: UUID) -> Bound:
    """A tile that has failed, and why."""
    of_item = (results.c.job_id == items.c.job_id) & (results.c.index == items.c.index)
    columns = items.c.tile, results.c.reason, results.c.detail, results.c.retryable
    failed = items.c.job_id == job_id, results.c.state == ResultState.FAILED
    return bound(select(*columns).join(results, of_item).where(*failed).order_by(items.c.index).limit(1))


_ITEM_ENDED: Final = """
    EXISTS (SELECT FROM results r WHERE r.job_id = t.tile_of AND r.index = t.tile_index)
    OR NOT EXISTS (SELECT FROM jobs j WHERE j.id = t.tile_of AND j.state IN ('ingesting', 'pending', 'running'))
"""


def release() -> Bound:
    """The leader's: parked chunks of which an item's tiles have ended may be claimed again, to be merged."""
    return bound(_RELEASE)


_RELEASE: Final[TextClause] = text(
    """
    UPDATE chunks c SET run_after = NULL
    FROM jobs t JOIN jobs j ON j.id = t.tile_of
    WHERE t.tile_of IS NOT NULL AND t.tenant_id IS NOT NULL AND t.ended_at IS NOT NULL AND j.state = 'running'
      AND c.job_id = j.id AND c.chunk_no = t.tile_index / j.chunk_size
      AND c.state = 'ready' AND c.parked AND c.run_after IS NOT NULL
    """
)


def make_room(*, most: int) -> Bound:
    """The leader's: of each job with fewer than `most` images under way, the first of those that wait go on."""
    return bound(_MAKE_ROOM, most=most, protocol=TILED)


_MAKE_ROOM: Final[TextClause] = text(
    """
    WITH room AS (
      SELECT j.id, j.chunk_size, :most - count(t.id) AS free
      FROM jobs j LEFT JOIN jobs t ON t.tile_of = j.id AND t.tenant_id IS NOT NULL AND t.ended_at IS NULL
      WHERE j.state = 'running' AND j.protocol >= :protocol AND j.tile_of IS NULL
      GROUP BY j.id HAVING count(t.id) < :most),
    next AS (
      SELECT r.id, c.chunk_no, r.free, row_number() OVER (PARTITION BY r.id ORDER BY c.chunk_no) AS turn
      FROM room r CROSS JOIN LATERAL (
        SELECT chunk_no, parked, run_after FROM chunks WHERE job_id = r.id AND state = 'ready'
        ORDER BY chunk_no LIMIT 4 * :most) c
      WHERE c.parked AND c.run_after IS NOT NULL AND NOT EXISTS (
        SELECT FROM jobs t WHERE t.tile_of = r.id AND t.tenant_id IS NOT NULL AND t.ended_at IS NULL
          AND t.tile_index / r.chunk_size = c.chunk_no))
    UPDATE chunks c SET run_after = NULL
    FROM next n WHERE c.job_id = n.id AND c.chunk_no = n.chunk_no AND n.turn <= n.free AND c.state = 'ready'
    """
)


def orphans() -> Bound:
    """The leader's: ids of jobs of tiles that nobody waits for any more, and that have not ended."""
    return bound(_ORPHANS)


_ORPHANS: Final[TextClause] = text(
    f"""
    SELECT t.id FROM jobs t
    WHERE t.tile_of IS NOT NULL AND t.tenant_id IS NOT NULL AND t.ended_at IS NULL AND ({_ITEM_ENDED})
    """
)


def forget() -> Bound:
    """The leader's: jobs of tiles whose item has its result, or none to come, are nobody's. Their rows are removed."""
    return bound(_FORGET)


_FORGET: Final[TextClause] = text(
    f"""
    UPDATE jobs t SET tenant_id = NULL
    WHERE t.tile_of IS NOT NULL AND t.tenant_id IS NOT NULL AND t.ended_at IS NOT NULL AND ({_ITEM_ENDED})
    """
)


def raise_protocol(job_id: UUID, protocol: int) -> Bound:
    """While a job is ingested: one of its items needs workers that know this protocol."""
    return bound(update(jobs).where(jobs.c.id == job_id, jobs.c.protocol < protocol).values(protocol=protocol))
