"""Statements that read and delete jobs.

A job's counts are the sum of its tallies and of the chunks that are in no tally yet. One statement reads both, so that
the counts always add up to the job's total.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final
from uuid import UUID

from sqlalchemy import (
    ColumnElement,
    Integer,
    Select,
    and_,
    any_,
    bindparam,
    case,
    cast,
    exists,
    func,
    literal_column,
    null,
    or_,
    select,
    true,
    union_all,
)
from sqlalchemy.dialects.postgresql import JSONB, aggregate_order_by
from sqlalchemy.sql.selectable import LateralFromClause

from db.queues import TILED
from db.statements.bound import Bound, bound
from db.statements.register import LIVE
from db.statements.tally import SUCCEEDED, UNTALLIED
from db.states import FINAL_JOB_STATES, UNFINISHED_CHUNK_STATES, ChunkState, JobState
from db.tables import chunks, jobs, outputs, progress_samples, tallies, workers


def job(tenant: str, job_id: UUID) -> Bound:
    """One job with its counts, failures, and whether a live worker can do it. No row: not one of this tenant."""
    return bound(_JOB, tenant=tenant, job_id=job_id)


def job_state(tenant: str, job_id: UUID) -> Bound:
    """No row: not a job of this tenant."""
    return bound(_JOB_STATE, tenant=tenant, job_id=job_id)


def followed(job_ids: Sequence[UUID]) -> Bound:
    """Jobs by id, with their counts, whoever's they are: each is read by its tenant before anybody follows it."""
    return bound(_FOLLOWED, job_ids=list(job_ids))


def list_jobs(
    tenant: str, *, state: JobState | None, labels: Mapping[str, str], before: UUID | None, limit: int
) -> Bound:
    """Jobs with their counts, newest first. `before` is the last id of the previous page."""
    query = _JOBS.where(jobs.c.tenant_id == tenant, jobs.c.tile_of.is_(None)).order_by(jobs.c.id.desc()).limit(limit)
    if state is not None:
        query = query.where(jobs.c.state == state)
    if labels:
        query = query.where(jobs.c.labels.contains(dict(labels)))
    return bound(query if before is None else query.where(jobs.c.id < before))


def delete_job(tenant: str, job_id: UUID) -> Bound:
    """Take a final job from its tenant: the leader removes its rows. False: not a job of this tenant, or not final."""
    return bound(select(func.delete_job(tenant, job_id)))


def _total(of: ColumnElement[int]) -> ColumnElement[int]:
    return cast(func.coalesce(func.sum(of), 0), Integer)


_HAS_TILES: Final = and_(chunks.c.parked, chunks.c.state.in_(UNFINISHED_CHUNK_STATES))


def _untallied_sums() -> LateralFromClause:
    missing = chunks.c.hi - chunks.c.lo - chunks.c.n_ok - chunks.c.n_err
    return (
        select(
            _total(chunks.c.n_ok).label("succeeded"),
            _total(chunks.c.n_err).label("failed"),
            _total(case((or_(chunks.c.state == ChunkState.LEASED, _HAS_TILES), missing), else_=0)).label("running"),
        )
        .where(chunks.c.job_id == jobs.c.id, UNTALLIED)
        .lateral("untallied")
    )


def _tallied_sums() -> LateralFromClause:
    succeeded = tallies.c.reason == SUCCEEDED
    return (
        select(
            _total(case((succeeded, tallies.c.n), else_=0)).label("succeeded"),
            _total(case((succeeded, 0), else_=tallies.c.n)).label("failed"),
        )
        .where(tallies.c.job_id == jobs.c.id)
        .lateral("tallied")
    )


def _failures() -> ColumnElement[Any]:
    """[{"reason", "count"}, …] over all chunks, the most frequent first; NULL without failures."""
    each = func.jsonb_each_text(chunks.c.reasons).table_valued("key", "value", name="each").render_derived()
    untallied = (
        select(each.c.key.label("reason"), cast(each.c.value, Integer).label("n"))
        .select_from(chunks)
        .join(each, true())
        .where(chunks.c.job_id == jobs.c.id, UNTALLIED, chunks.c.n_err > 0)
        .correlate(jobs)
    )
    tallied = select(tallies.c.reason, tallies.c.n).where(tallies.c.job_id == jobs.c.id, tallies.c.reason != SUCCEEDED)
    both = union_all(untallied, tallied.correlate(jobs)).subquery("both")
    count = cast(func.sum(both.c.n), Integer).label("count")
    total = select(both.c.reason, count).group_by(both.c.reason).subquery("total")
    entry = func.jsonb_build_object("reason", total.c.reason, "count", total.c.count)
    in_order = aggregate_order_by(entry, total.c.count.desc(), total.c.reason)
    return select(func.jsonb_agg(in_order, type_=JSONB)).scalar_subquery()


_TILES: Final = f"""
    (SELECT jsonb_build_object('items', count(*), 'done', coalesce(sum(done), 0), 'total', coalesce(sum(n_items), 0),
      'fraction', coalesce(sum(done::real / n_items), 0))
    FROM (SELECT t.n_items, (SELECT coalesce(sum(n), 0) FROM tallies WHERE job_id = t.id)
        + (SELECT coalesce(sum(n_ok + n_err), 0) FROM chunks WHERE job_id = t.id AND {UNTALLIED}) AS done
      FROM jobs t WHERE t.tile_of = jobs.id AND t.tenant_id IS NOT NULL) each_job)"""


def _tiles(unfinished: ColumnElement[bool]) -> ColumnElement[Any]:
    """How far the items are that are segmented by windows; NULL for jobs that have none."""
    asks = and_(unfinished, jobs.c.protocol >= TILED)
    return case((asks, literal_column(_TILES, JSONB)), else_=null()).label("tiles")


_HIDDEN: Final = frozenset(
    {
        "request_sha256",
        "idempotency_key",
        "ingest_cursor",
        "ingest_token",
        "ingest_pages",
        "ingest_mark",
        "prompts",
        "protocol",
        "traceparent",
        "tile_of",
        "tile_index",
    }
)


_OUTPUT: Final = (
    outputs.c.uri,
    outputs.c.formats,
    outputs.c.state,
    outputs.c.error_reason,
    outputs.c.error_detail,
)


def _jobs_with_counts() -> Select[Any]:
    tallied, untallied = _tallied_sums(), _untallied_sums()
    succeeded, failed = tallied.c.succeeded + untallied.c.succeeded, tallied.c.failed + untallied.c.failed
    # Not summed over chunks, because most chunks of a large job wait.
    rest = jobs.c.n_items - succeeded - failed - untallied.c.running
    unfinished = jobs.c.state.not_in(list(FINAL_JOB_STATES))
    expired = jobs.c.state == JobState.EXPIRED
    given_up = and_(~unfinished, ~expired)
    serves = and_(jobs.c.task["type"].astext == any_(workers.c.tasks), workers.c.protocol >= jobs.c.protocol)
    seen = exists().where(workers.c.model == jobs.c.model, serves, LIVE)
    shown = [c for c in jobs.c if c.name not in _HIDDEN]
    return select(
        *shown,
        succeeded.label("succeeded"),
        failed.label("failed"),
        untallied.c.running,
        case((unfinished, rest), else_=0).label("pending"),
        case((given_up, rest), else_=0).label("cancelled"),
        case((expired, rest), else_=0).label("expired"),
        _failures().label("failures"),
        *(c.label(f"output_{c.name}") for c in _OUTPUT),
        _tiles(unfinished),
        progress_samples.c.times[1].label("sampled_at"),
        progress_samples.c.finished[1].label("sampled_finished"),
        seen.label("has_worker"),
        func.clock_timestamp().label("now"),
    ).select_from(
        jobs.join(tallied, true())
        .join(untallied, true())
        .outerjoin(outputs, outputs.c.job_id == jobs.c.id)
        .outerjoin(progress_samples, progress_samples.c.job_id == jobs.c.id)
    )


_JOBS: Final = _jobs_with_counts()
_MINE: Final = and_(jobs.c.id == bindparam("job_id"), jobs.c.tenant_id == bindparam("tenant"), jobs.c.tile_of.is_(None))
_JOB: Final = _JOBS.where(_MINE)
_FOLLOWED: Final = _JOBS.where(jobs.c.id.in_(bindparam("job_ids", expanding=True)), jobs.c.tenant_id.is_not(None))
_JOB_STATE: Final = select(jobs.c.state).where(_MINE)
