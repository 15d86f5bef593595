"""Statements that read items, with their results where there are some."""

from typing import Any, Final
from uuid import UUID

from sqlalchemy import (
    ColumnElement,
    FromClause,
    Integer,
    Select,
    Text,
    and_,
    bindparam,
    case,
    cast,
    func,
    literal,
    or_,
    select,
)

from db.statements.bound import Bound, bound
from db.states import FINAL_JOB_STATES, ChunkState, ItemState, JobState, ResultState
from db.tables import chunks, items, jobs, results


def item(job_id: UUID, index: int) -> Bound:
    """One item."""
    return bound(_ITEM, job_id=job_id, index=index)


def item_with_masks(job_id: UUID, index: int) -> Bound:
    """One item with its masks and their RLE bytes, which are NULL unless it succeeded."""
    return bound(_ITEM_WITH_MASKS, job_id=job_id, index=index)


def item_with_origin(job_id: UUID, index: int) -> Bound:
    """One item with its masks, and all that its result was made from."""
    return bound(_ITEM_WITH_ORIGIN, job_id=job_id, index=index)


def item_page(job_id: UUID, state: ItemState | None, *, start: int, limit: int) -> Bound:
    """Items of a job by index from `start` on, of one state or of all."""
    return bound(_PAGES[state], job_id=job_id, start=start, limit=limit)


def next_start(job_id: UUID, state: ItemState, *, start: int) -> Bound:
    """The first index from `start` on where an item of that state may be. NULL: there is none.

    For use before `item_page`, which would read a whole job to find its few running items.
    """
    return bound(_NEXT_STARTS[state], job_id=job_id, start=start)


_WAITING = (ChunkState.READY, ChunkState.DISPATCHED)
_HAS_TILES = and_(chunks.c.state.in_(_WAITING), chunks.c.parked)
_UNFINISHED_JOB = jobs.c.state.not_in(list(FINAL_JOB_STATES))
_ITEM_STATE: ColumnElement[str] = case(
    (results.c.state.is_not(None), cast(results.c.state, Text)),
    (chunks.c.state == ChunkState.LEASED, literal(ItemState.RUNNING.value)),
    (_HAS_TILES, literal(ItemState.RUNNING.value)),
    (chunks.c.state.in_(_WAITING), literal(ItemState.PENDING.value)),
    (and_(chunks.c.state.is_(None), _UNFINISHED_JOB), literal(ItemState.PENDING.value)),
    (jobs.c.state == JobState.EXPIRED, literal(ItemState.EXPIRED.value)),
    else_=literal(ItemState.CANCELLED.value),
)


ITEM_COLUMNS: Final[tuple[ColumnElement[Any], ...]] = (
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
    results.c.georeference,
    results.c.reused_job,
    results.c.reused_index,
)
# As JSON text, which Postgres writes and orjson reads faster than psycopg takes composites apart.
MASK_COLUMNS: Final = (
    cast(func.to_json(results.c.masks), Text).label("masks"),
    *(results.c.rle, results.c.codec, results.c.phrases, results.c.scores, results.c.areas),
)


def _items_with_results(*bounds: ColumnElement[bool]) -> FromClause:
    chunk_no = items.c.index // jobs.c.chunk_size
    of_chunk = and_(chunks.c.job_id == items.c.job_id, chunks.c.chunk_no == chunk_no)
    of_item = and_(results.c.job_id == items.c.job_id, results.c.index == items.c.index, *bounds)
    return items.join(jobs, jobs.c.id == items.c.job_id).outerjoin(chunks, of_chunk).outerjoin(results, of_item)


_ITEMS: Final = select(*ITEM_COLUMNS).select_from(_items_with_results())
_ONE: Final = and_(items.c.job_id == bindparam("job_id"), items.c.index == bindparam("index"))
_ITEM: Final = _ITEMS.where(_ONE)
_ITEM_WITH_MASKS: Final = _ITEMS.add_columns(*MASK_COLUMNS).where(_ONE)
_ITEM_WITH_ORIGIN: Final = _ITEM_WITH_MASKS.add_columns(
    results.c.fingerprint,
    jobs.c.task,
    func.coalesce(items.c.prompts, jobs.c.prompts).label("prompts"),
    items.c.tile,
    jobs.c.input["depth"].astext.label("depth"),
    jobs.c.input["bands"].label("bands"),
)

_IN_CHUNKS: Final[dict[ItemState, ColumnElement[bool]]] = {
    ItemState.PENDING: and_(chunks.c.state.in_(_WAITING), ~chunks.c.parked),
    ItemState.RUNNING: or_(chunks.c.state == ChunkState.LEASED, _HAS_TILES),
    ItemState.SUCCEEDED: chunks.c.n_ok > 0,
    ItemState.FAILED: chunks.c.n_err > 0,
    ItemState.CANCELLED: chunks.c.state == ChunkState.CANCELLED,
    ItemState.EXPIRED: chunks.c.state == ChunkState.CANCELLED,
}
"""Which chunks may have an item of that state."""


def _next_start(state: ItemState) -> Select[tuple[int | None]]:
    ahead = and_(_IN_CHUNKS[state], chunks.c.hi > bindparam("start"))
    none_yet = case((func.count() == 0, bindparam("start", type_=Integer)))
    here = func.greatest(func.min(chunks.c.lo).filter(ahead), bindparam("start", type_=Integer))
    some = func.count().filter(ahead) > 0
    return select(case((some, here), else_=none_yet)).where(chunks.c.job_id == bindparam("job_id"))


_NEXT_STARTS: Final = {state: _next_start(state) for state in ItemState}


def _is(state: ItemState) -> ColumnElement[bool]:
    """Whether `_ITEM_STATE` is `state`, by columns with statistics, so that Postgres stops at a full page."""
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
    # Items and results have the same bounds, so that neither is read from its beginning for a page deep inside.
    result_bound, item_bound = (c.index >= bindparam("start") for c in (results.c, items.c))
    page = select(*ITEM_COLUMNS).select_from(_items_with_results(result_bound))
    page = page.where(items.c.job_id == bindparam("job_id"), item_bound)
    page = page if state is None else page.where(_is(state))
    return page.order_by(items.c.index).limit(bindparam("limit"))


_PAGES: Final[dict[ItemState | None, Select[Any]]] = {state: _page(state) for state in (None, *ItemState)}
