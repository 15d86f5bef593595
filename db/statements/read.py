"""Statements that read jobs, items and masks.

Counts come from the tallies and from the chunks that are in none yet. One statement reads both, so that they always add
up to the job's total.
"""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, Final
from uuid import UUID

from sqlalchemy import (
    BindParameter,
    ColumnElement,
    Delete,
    Executable,
    FromClause,
    Integer,
    Select,
    Table,
    Text,
    and_,
    bindparam,
    case,
    cast,
    delete,
    exists,
    func,
    literal,
    or_,
    select,
    true,
    union_all,
)
from sqlalchemy.dialects.postgresql import JSONB, aggregate_order_by
from sqlalchemy.sql.selectable import LateralFromClause

from db.statements.tally import SUCCEEDED, UNTALLIED
from db.states import FINAL_JOB_STATES, ChunkState, ItemState, JobState, ResultState
from db.tables import chunks, items, jobs, results, tallies, workers

WORKER_SEEN_WITHIN = timedelta(seconds=30)
_WAITING = (ChunkState.READY, ChunkState.DISPATCHED)
_UNFINISHED_JOB = jobs.c.state.not_in(list(FINAL_JOB_STATES))


def _live() -> ColumnElement[bool]:
    return workers.c.seen_at > func.clock_timestamp() - WORKER_SEEN_WITHIN


def _total(of: ColumnElement[int]) -> ColumnElement[int]:
    return cast(func.coalesce(func.sum(of), 0), Integer)


def _untallied_sums() -> LateralFromClause:
    missing = chunks.c.hi - chunks.c.lo - chunks.c.n_ok - chunks.c.n_err
    return (
        select(
            _total(chunks.c.n_ok).label("succeeded"),
            _total(chunks.c.n_err).label("failed"),
            _total(case((chunks.c.state == ChunkState.LEASED, missing), else_=0)).label("leased"),
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


_HIDDEN: Final = frozenset(
    {"request_sha256", "idempotency_key", "ingest_cursor", "ingest_token", "ingest_pages", "ingest_mark"}
)


def _jobs_with_counts() -> Select[Any]:
    tallied, untallied = _tallied_sums(), _untallied_sums()
    succeeded, failed = tallied.c.succeeded + untallied.c.succeeded, tallied.c.failed + untallied.c.failed
    # Never summed over chunks, of which most of a large job wait: pending while the job is open, given up once final.
    rest = jobs.c.n_items - succeeded - failed - untallied.c.leased
    expired = jobs.c.state == JobState.EXPIRED
    given_up = and_(~_UNFINISHED_JOB, ~expired)
    seen = exists().where(workers.c.model == jobs.c.model, _live())
    shown = [c for c in jobs.c if c.name not in _HIDDEN]
    return select(
        *shown,
        succeeded.label("succeeded"),
        failed.label("failed"),
        untallied.c.leased.label("running"),
        case((_UNFINISHED_JOB, rest), else_=0).label("pending"),
        case((given_up, rest), else_=0).label("cancelled"),
        case((expired, rest), else_=0).label("expired"),
        _failures().label("failures"),
        seen.label("has_worker"),
        func.clock_timestamp().label("now"),
    ).select_from(jobs.join(tallied, true()).join(untallied, true()))


# Built once, run with {"tenant", "job_id"}: building a statement of this size takes longer than running it
# (measured: GET of a job 10.4 ms when built each time, 2.1 ms so).
_JOBS: Final = _jobs_with_counts()
_MINE: Final = and_(jobs.c.id == bindparam("job_id"), jobs.c.tenant_id == bindparam("tenant"))

JOB: Final = _JOBS.where(_MINE)
"""One job with its counts, failures, and whether a live worker has its model. No row: unknown, or another tenant's."""

JOB_STATE: Final = select(jobs.c.state).where(_MINE)
"""No row: unknown, or another tenant's."""


def list_jobs(
    tenant: str, state: JobState | None, labels: Mapping[str, str], before: UUID | None, limit: int
) -> Select[Any]:
    """Newest first; `before` is the last id of the page before."""
    query = _JOBS.where(jobs.c.tenant_id == tenant).order_by(jobs.c.id.desc()).limit(limit)
    if state is not None:
        query = query.where(jobs.c.state == state)
    if labels:
        query = query.where(jobs.c.labels.contains(dict(labels)))
    return query if before is None else query.where(jobs.c.id < before)


def delete_results(job_id: UUID) -> Delete:
    """Before `delete_job`, in its transaction: results carry no foreign key."""
    return delete(results).where(results.c.job_id == job_id)


def delete_job(tenant: str, job_id: UUID) -> Executable:
    """A final job with everything that refers to it. No row: unknown, or not final."""
    mine = and_(jobs.c.id == job_id, jobs.c.tenant_id == tenant)
    return delete(jobs).where(mine, jobs.c.state.in_(list(FINAL_JOB_STATES))).returning(jobs.c.id)


_ITEM_STATE: ColumnElement[str] = case(
    (results.c.state.is_not(None), cast(results.c.state, Text)),
    (chunks.c.state == ChunkState.LEASED, literal(ItemState.RUNNING.value)),
    (chunks.c.state.in_(_WAITING), literal(ItemState.PENDING.value)),
    (and_(chunks.c.state.is_(None), _UNFINISHED_JOB), literal(ItemState.PENDING.value)),
    (jobs.c.state == JobState.EXPIRED, literal(ItemState.EXPIRED.value)),
    else_=literal(ItemState.CANCELLED.value),
)


def _items_with_results(*bounds: ColumnElement[bool]) -> FromClause:
    chunk_no = items.c.index // jobs.c.chunk_size
    of_chunk = and_(chunks.c.job_id == items.c.job_id, chunks.c.chunk_no == chunk_no)
    of_item = and_(results.c.job_id == items.c.job_id, results.c.index == items.c.index, *bounds)
    return items.join(jobs, jobs.c.id == items.c.job_id).outerjoin(chunks, of_chunk).outerjoin(results, of_item)


_ITEM_COLUMNS: Sequence[ColumnElement[Any]] = (
    items.c.index.label("item_index"),  # a Row has a method `index`
    items.c.custom_id,
    items.c.image,
    _ITEM_STATE.label("state"),
    func.coalesce(results.c.attempt, chunks.c.attempts, 0).label("attempt"),
    results.c.reason,
    results.c.detail,
    results.c.retryable,
    results.c.height,
    results.c.width,
    results.c.orientation,
    func.cardinality(results.c.masks).label("mask_count"),
    results.c.model,
    results.c.model_revision,
    results.c.precision,
    results.c.timings_ms,
    results.c.warnings,
    results.c.frames,
)


_ITEMS: Final = select(*_ITEM_COLUMNS).select_from(_items_with_results())
# As JSON text, which Postgres writes and orjson reads faster than psycopg can take composites apart in Python
# (measured for an image of 80 masks: 0.6 ms instead of 3.1 ms of our CPU time).
_MASKS: Final = cast(func.to_json(results.c.masks), Text).label("masks")
_ITEMS_WITH_MASKS: Final = _ITEMS.add_columns(_MASKS, results.c.rle, results.c.codec)
_ONE: Final = and_(items.c.job_id == bindparam("job_id"), items.c.index == bindparam("index"))

ITEM: Final = _ITEMS.where(_ONE)
"""One item, run with {"job_id", "index"}."""

ITEM_MASKS: Final = _ITEMS_WITH_MASKS.where(_ONE)
"""The same with its masks and their RLE bytes: NULLs where the item has no result or failed."""


_IN_CHUNKS: Final[dict[ItemState, ColumnElement[bool]]] = {
    ItemState.PENDING: chunks.c.state.in_(_WAITING),
    ItemState.RUNNING: chunks.c.state == ChunkState.LEASED,
    ItemState.SUCCEEDED: chunks.c.n_ok > 0,
    ItemState.FAILED: chunks.c.n_err > 0,
    ItemState.CANCELLED: chunks.c.state == ChunkState.CANCELLED,
    ItemState.EXPIRED: chunks.c.state == ChunkState.CANCELLED,
}
"""Which chunks can hold an item of that state."""


def _next_start(state: ItemState) -> Select[tuple[int | None]]:
    ahead = and_(_IN_CHUNKS[state], chunks.c.hi > bindparam("start"))
    none_yet = case((func.count() == 0, bindparam("start", type_=Integer)))
    here = func.greatest(func.min(chunks.c.lo).filter(ahead), bindparam("start", type_=Integer))
    some = func.count().filter(ahead) > 0
    return select(case((some, here), else_=none_yet)).where(chunks.c.job_id == bindparam("job_id"))


NEXT_START: Final = {state: _next_start(state) for state in ItemState}
"""From which index on there can be items of a state, at or behind `start`; NULL where there are none.

Run with {"job_id", "start"} before a page: without it a page of the few items that run reads all of a million.
"""


def _is(state: ItemState) -> ColumnElement[bool]:
    """`_ITEM_STATE` is `state`, in terms that the planner has statistics for: it then stops at a full page."""
    if state in (ItemState.SUCCEEDED, ItemState.FAILED):
        return results.c.state == ResultState(state.value)
    no_chunk = chunks.c.chunk_no.is_(None)
    ended = {ItemState.EXPIRED: jobs.c.state == JobState.EXPIRED, ItemState.CANCELLED: jobs.c.state != JobState.EXPIRED}
    if state in ended:
        return and_(results.c.index.is_(None), ~_UNFINISHED_JOB, ended[state], or_(_IN_CHUNKS[state], no_chunk))
    listed = (
        or_(_IN_CHUNKS[state], and_(no_chunk, _UNFINISHED_JOB)) if state == ItemState.PENDING else _IN_CHUNKS[state]
    )
    return and_(results.c.index.is_(None), listed)


def _page(state: ItemState | None) -> Select[Any]:
    # Items and results are bounded alike, so that neither is read from its beginning for a page deep inside.
    result_bound, item_bound = (c.index >= bindparam("start") for c in (results.c, items.c))
    page = select(*_ITEM_COLUMNS).select_from(_items_with_results(result_bound))
    page = page.where(items.c.job_id == bindparam("job_id"), item_bound)
    page = page if state is None else page.where(_is(state))
    return page.order_by(items.c.index).limit(bindparam("limit"))


ITEM_PAGE: Final[dict[ItemState | None, Select[Any]]] = {state: _page(state) for state in (None, *ItemState)}
"""Items of a job by index from `start` on, of one state or of all; run with {"job_id", "start", "limit"}."""


_ITEMS_AND_MASKS: Final = (*_ITEM_COLUMNS, _MASKS, results.c.rle, results.c.codec)
# The key of an object is its file name; two buckets may hold the same.
_NAME_HASH: Final = func.hashtextextended(
    func.substr(items.c.image, func.strpos(func.substr(items.c.image, 6), "/") + 6), 0
).label("name_hash")


def _export_page(of: Table, columns: Sequence[ColumnElement[Any]], *conditions: ColumnElement[bool]) -> Select[Any]:
    """The page's indexes first, from one table alone, then what belongs to them: so no plan reads more than a page.

    The number of rows is written out: Postgres plans for it, not for a tenth of all.
    """
    mine = and_(of.c.job_id == bindparam("job_id"), of.c.index >= bindparam("start"), *conditions)
    limit: BindParameter[int] = bindparam("rows", type_=Integer, literal_execute=True)
    page = (
        select(of.c.job_id, of.c.index)
        .where(mine)
        .order_by(of.c.index)
        .limit(limit)
        .cte("page")
        .prefix_with("MATERIALIZED", dialect="postgresql")
    )
    of_page = and_(items.c.job_id == page.c.job_id, items.c.index == page.c.index)
    of_results = and_(results.c.job_id == page.c.job_id, results.c.index == page.c.index)
    chunk = and_(chunks.c.job_id == page.c.job_id, chunks.c.chunk_no == page.c.index // jobs.c.chunk_size)
    joined = page.join(items, of_page).join(jobs, jobs.c.id == page.c.job_id)
    joined = joined.outerjoin(chunks, chunk).outerjoin(results, of_results)
    return select(*columns).select_from(joined).order_by(page.c.index)


ALL_ITEMS: Final = _export_page(items, _ITEMS_AND_MASKS)
"""Pages of an export: items by index from `start` on, with their masks; run with {"job_id", "start", "rows"}."""

ITEMS_WITH_RESULT: Final = _export_page(results, _ITEMS_AND_MASKS)
"""The same, of items that have succeeded or failed."""

SUCCEEDED_ITEMS: Final = _export_page(results, (*_ITEM_COLUMNS, _NAME_HASH), results.c.state == ResultState.SUCCEEDED)
"""The same, of items that have succeeded, without their masks, with a hash of the image's key."""

SUCCEEDED_MASKS: Final = _export_page(results, _ITEMS_AND_MASKS, results.c.state == ResultState.SUCCEEDED)
"""The same with masks."""

FAILED_ITEMS: Final = _export_page(results, _ITEM_COLUMNS, results.c.state == ResultState.FAILED)
"""The same, of items that have failed."""

SHARED_NAMES: Final = (
    select(_NAME_HASH)
    .where(items.c.job_id == bindparam("job_id"))
    .group_by(_NAME_HASH)
    .having(func.count() > 1)
    .order_by(_NAME_HASH)
)
"""Hashes of the keys that several items of a job have, in order; run with {"job_id"}."""


LIVE_WORKERS: Final = (
    select(workers.c.model, workers.c.model_revision, workers.c.device, workers.c.precision, workers.c.slots)
    .where(_live())
    .order_by(workers.c.model, workers.c.loaded_at)
)
"""Workers seen within the last half minute, by the database's clock."""
