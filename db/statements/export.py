"""Statements that read the rows of an export, page by page: items by index from `start` on."""

from collections.abc import Sequence
from typing import Any, Final, Protocol
from uuid import UUID

from sqlalchemy import BindParameter, ColumnElement, Integer, Select, Table, and_, bindparam, case, func, select

from db.image_page import PAGE_IN_SQL
from db.object_uri import VERSION_MARK
from db.statements.bound import Bound, bound
from db.statements.items import ITEM_COLUMNS, MASK_COLUMNS
from db.states import ResultState
from db.tables import chunks, items, jobs, results


class Pages(Protocol):
    """A function of this file that gives one page."""

    def __call__(self, job_id: UUID, *, start: int, rows: int) -> Bound: ...


def all_items(job_id: UUID, *, start: int, rows: int) -> Bound:
    """Every item, with its masks."""
    return bound(_ALL_ITEMS, job_id=job_id, start=start, rows=rows)


def items_with_result(job_id: UUID, *, start: int, rows: int) -> Bound:
    """Items that have succeeded or failed, with their masks."""
    return bound(_ITEMS_WITH_RESULT, job_id=job_id, start=start, rows=rows)


def succeeded_items(job_id: UUID, *, start: int, rows: int) -> Bound:
    """Items that have succeeded, without their masks, with a hash of the image's key."""
    return bound(_SUCCEEDED_ITEMS, job_id=job_id, start=start, rows=rows)


def succeeded_masks(job_id: UUID, *, start: int, rows: int) -> Bound:
    """Items that have succeeded, with their masks and a hash of the image's key."""
    return bound(_SUCCEEDED_MASKS, job_id=job_id, start=start, rows=rows)


def failed_items(job_id: UUID, *, start: int, rows: int) -> Bound:
    """Items that have failed."""
    return bound(_FAILED_ITEMS, job_id=job_id, start=start, rows=rows)


def shared_names(job_id: UUID) -> Bound:
    """Hashes of the keys that several items of a job have, in order."""
    return bound(_SHARED_NAMES, job_id=job_id)


def _export_page(of: Table, columns: Sequence[ColumnElement[Any]], *conditions: ColumnElement[bool]) -> Select[Any]:
    """First the page's indexes, from one table alone, then what belongs to them, so that no plan reads more.

    The number of rows is part of the SQL: Postgres then plans for that many, not for a tenth of the table.
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


_ITEMS_AND_MASKS: Final = (*ITEM_COLUMNS, *MASK_COLUMNS)
# Of the key alone, as `file_name` takes it: two buckets may have objects with the same key, and a key many versions.
_IS_WEB: Final = items.c.image.startswith("https://")
# Position 9 is in the host of https://, and in the bucket of s3://, which has three characters at least.
_BEHIND_HOST: Final = func.substr(items.c.image, func.strpos(func.substr(items.c.image, 9), "/") + 9)
_BEFORE_MARK: Final = func.split_part(_BEHIND_HOST, case((_IS_WEB, "?"), else_=VERSION_MARK), 1)
_KEY: Final = func.regexp_replace(_BEFORE_MARK, PAGE_IN_SQL, "")
_NAME_HASH: Final = func.hashtextextended(_KEY, 0).label("name_hash")
_HAS_SUCCEEDED: Final = results.c.state == ResultState.SUCCEEDED
_ALL_ITEMS: Final = _export_page(items, _ITEMS_AND_MASKS)
_ITEMS_WITH_RESULT: Final = _export_page(results, _ITEMS_AND_MASKS)
_SUCCEEDED_ITEMS: Final = _export_page(results, (*ITEM_COLUMNS, _NAME_HASH), _HAS_SUCCEEDED)
_SUCCEEDED_MASKS: Final = _export_page(results, (*_ITEMS_AND_MASKS, _NAME_HASH), _HAS_SUCCEEDED)
_FAILED_ITEMS: Final = _export_page(results, ITEM_COLUMNS, results.c.state == ResultState.FAILED)
_SHARED_NAMES: Final = (
    select(_NAME_HASH)
    .where(items.c.job_id == bindparam("job_id"))
    .group_by(_NAME_HASH)
    .having(func.count() > 1)
    .order_by(_NAME_HASH)
)
