"""Items of a job and their masks."""

from collections.abc import Sequence
from typing import Annotated, Any
from uuid import UUID

import orjson
from fastapi import APIRouter, Query, Response
from sqlalchemy.ext.asyncio import AsyncConnection

from api.auth import CurrentTenant
from api.database import JobId, Reads
from api.http.numbers import INTEGER
from api.http.paging import IndexToken, PageSize, next_token, read_index
from api.http.problems import NOT_FOUND, PROBLEMS
from api.items.lookup import ItemId, check_job, item_index, one_item
from api.items.views import Item, ItemPage, MaskPage
from api.refusals import InvalidParameter
from db.statements import items as sql
from db.states import ItemState
from exports.views import item_view, mask_views

router = APIRouter(prefix="/v1/jobs/{job_id:job}", tags=["results"], responses={**PROBLEMS, **NOT_FOUND})


class _JSON(Response):
    media_type = "application/json"


@router.get("/items", response_model=ItemPage)
async def list_items(
    tenant: CurrentTenant,
    reads: Reads,
    job_id: JobId,
    state: Annotated[ItemState | None, Query(description="Only items in this state")] = None,
    page_size: PageSize = 100,
    page_token: IndexToken = None,
    start: Annotated[int, Query(ge=0, le=2**31 - 1, description="The first index; not with `page_token`"), INTEGER] = 0,
) -> Response:
    """List a job's items by index."""
    if page_token is not None and start:
        raise InvalidParameter("start", "is not given with page_token, which says where the page begins")
    async with reads.connect() as connection:
        await check_job(connection, tenant, job_id)
        rows = await _item_page(connection, job_id, state, max(start, read_index(page_token)), page_size)
    token = next_token(rows, page_size, rows[-1].item_index + 1 if rows else None)
    return _page("items", [item_view(row) for row in rows], token)


async def _item_page(
    connection: AsyncConnection, job_id: UUID, state: ItemState | None, start: int, size: int
) -> Sequence[Any]:
    if state is not None:
        found: int | None = (await connection.execute(*sql.next_start(job_id, state, start=start))).scalar_one()
        if found is None:
            return []
        start = found
    return (await connection.execute(*sql.item_page(job_id, state, start=start, limit=size))).all()


def _page(name: str, entries: list[dict[str, Any]], token: str | None) -> Response:
    return _JSON(orjson.dumps({name: entries} if token is None else {name: entries, "next_page_token": token}))


@router.get("/items/{item_id}", response_model=Item)
async def get_item(tenant: CurrentTenant, reads: Reads, job_id: JobId, item_id: ItemId) -> Response:
    """Read one item: its state, and the reason if it failed."""
    index = item_index(item_id)
    async with reads.connect() as connection:
        row = await one_item(connection, tenant, job_id, index, sql.item(job_id, index))
    return _JSON(orjson.dumps(item_view(row)))


@router.get("/items/{item_id}/masks", response_model=MaskPage)
async def list_masks(
    tenant: CurrentTenant,
    reads: Reads,
    job_id: JobId,
    item_id: ItemId,
    page_size: PageSize = 1000,
    page_token: IndexToken = None,
) -> Response:
    """List the masks of one item, in the model's order. Empty until the item has succeeded."""
    index = item_index(item_id)
    async with reads.connect() as connection:
        row = await one_item(connection, tenant, job_id, index, sql.item_with_masks(job_id, index))
    start = read_index(page_token)
    masks = mask_views(row, start, start + page_size)
    more = start + page_size < (row.mask_count or 0)
    return _page("masks", masks, next_token(masks, page_size, start + page_size) if more else None)
