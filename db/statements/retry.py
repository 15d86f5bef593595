"""Statements that copy the unsuccessful items of a final job into a new one.

One transaction runs them in order: `retried_job`, `unsuccessful` or `named`, `submit.insert_job`, `copy_items`.
"""

from collections.abc import Collection, Sequence
from typing import Final
from uuid import UUID

from sqlalchemy import ColumnElement, FromClause, Text, and_, bindparam, case, cast, func, insert, literal, or_, select
from sqlalchemy.dialects.postgresql import UUID as PG_UUID

from db.statements.bound import Bound, bound
from db.states import ItemReason, ItemState, JobState, ResultState
from db.tables import items, jobs, results

CARRIED: Final = (
    *("name", "labels", "model", "precision", "protocol", "priority", "task", "prompts", "reuse", "max_failure_ratio"),
)
"""Columns that the new job takes over."""


def retried_job(tenant: str, job_id: UUID) -> Bound:
    """The job that is retried. It cannot be deleted before the transaction ends. No row: not one of this tenant."""
    mine = and_(jobs.c.id == job_id, jobs.c.tenant_id == tenant, jobs.c.tile_of.is_(None))
    columns = [jobs.c[name] for name in (*CARRIED, "id", "state", "input")]
    return bound(select(*columns).where(mine).with_for_update(read=True, key_share=True))


def unsuccessful(job_id: UUID, states: Collection[ItemState]) -> Bound:
    """How many items of a final job have one of these states and an image that can be read again."""
    wanted = and_(items.c.job_id == job_id, _has_state(states), _CAN_BE_READ)
    return bound(select(func.count()).select_from(_ITEMS_WITH_RESULTS).where(wanted))


def named(job_id: UUID, indexes: Sequence[int]) -> Bound:
    """The state of each of these items of a final job, and its failure. No row: no such item."""
    wanted = and_(items.c.job_id == job_id, items.c.index.in_(indexes))
    columns = items.c.index.label("item_index"), _STATE.label("state"), results.c.reason
    return bound(select(*columns).select_from(_ITEMS_WITH_RESULTS).where(wanted))


def copy_items(job_id: UUID, new: UUID, states: Collection[ItemState], indexes: Sequence[int] | None) -> Bound:
    """The items of these states, or of these indexes, as items of the new job, in order from index 0 on."""
    chosen = and_(_has_state(states), _CAN_BE_READ) if indexes is None else items.c.index.in_(indexes)
    place = func.row_number().over(order_by=items.c.index) - 1
    source = select(
        bindparam("new", new, type_=PG_UUID(as_uuid=True)),
        place,
        *(items.c.custom_id, items.c.image, items.c.prompts, items.c.tile),
    )
    source = source.select_from(_ITEMS_WITH_RESULTS).where(items.c.job_id == job_id, chosen)
    return bound(insert(items).from_select(["job_id", "index", "custom_id", "image", "prompts", "tile"], source))


def _items_with_results() -> FromClause:
    of_item = and_(results.c.job_id == items.c.job_id, results.c.index == items.c.index)
    return items.join(jobs, jobs.c.id == items.c.job_id).outerjoin(results, of_item)


def _has_state(states: Collection[ItemState]) -> ColumnElement[bool]:
    """Whether an item of a final job has one of these states. Only ended jobs have items without a result."""
    cases = {
        ItemState.FAILED: results.c.state == ResultState.FAILED,
        ItemState.EXPIRED: and_(results.c.index.is_(None), jobs.c.state == JobState.EXPIRED),
        ItemState.CANCELLED: and_(results.c.index.is_(None), jobs.c.state != JobState.EXPIRED),
    }
    return or_(*(cases[state] for state in states))


_ITEMS_WITH_RESULTS: Final = _items_with_results()
_CAN_BE_READ: Final = results.c.reason.is_distinct_from(ItemReason.INVALID_MANIFEST_LINE.value)
_STATE: Final = case(
    (results.c.state.is_not(None), cast(results.c.state, Text)),
    (jobs.c.state == JobState.EXPIRED, literal(ItemState.EXPIRED.value)),
    else_=literal(ItemState.CANCELLED.value),
)
