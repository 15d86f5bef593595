"""Items of a job, their masks, and the stream of all results."""

from collections.abc import Sequence
from enum import StrEnum
from typing import Annotated, Any
from uuid import UUID

import orjson
from fastapi import APIRouter, Path, Query, Response
from pydantic import BeforeValidator, WithJsonSchema
from pydantic_core import PydanticCustomError
from sqlalchemy import Row, Select
from sqlalchemy.ext.asyncio import AsyncConnection
from starlette.responses import StreamingResponse

from api import openapi
from api.auth import Tenant
from api.database import Config, ExportReader, ExportSlots, JobId, Reads
from api.errors import ItemNotFound, JobNotFound, NotSupported
from api.exports.formats import FORMATS
from api.exports.pages import open_source
from api.exports.response import ExportResponse
from api.http.paging import IndexToken, PageSize, next_token, read_index
from api.jobs.views import Item, ItemPage, MaskPage, item_view, mask_views
from db.ids import show_job_id
from db.statements import read
from db.states import ItemState

router = APIRouter(
    prefix="/v1/jobs/{job_id:job}", tags=["results"], responses={**openapi.PROBLEMS, **openapi.NOT_FOUND}
)


class ResultFormat(StrEnum):
    """Formats of results; those that are not built are refused by name."""

    JSONL = "jsonl"
    COCO = "coco"
    COCO_RESULTS = "coco_results"
    SA1B = "sa1b"
    GEOJSON = "geojson"
    PARQUET = "parquet"


class _JSON(Response):
    media_type = "application/json"


async def _check_job(connection: AsyncConnection, tenant: str, job_id: UUID) -> None:
    if (await connection.execute(read.JOB_STATE, {"tenant": tenant, "job_id": job_id})).first() is None:
        raise JobNotFound(f"'{show_job_id(job_id)}' is no job of yours")


ItemId = Annotated[str, Path(description="The item's index", json_schema_extra={"pattern": "^(0|[1-9][0-9]{0,9})$"})]


def _known(value: object) -> object:
    """Only what works is offered; what is planned passes, to be refused by its name."""
    if value not in list(ResultFormat):
        raise PydanticCustomError("format", f"must be one of {', '.join(FORMATS)}")
    return value


Format = Annotated[ResultFormat, BeforeValidator(_known), WithJsonSchema({"type": "string", "enum": list(FORMATS)})]


def _item_index(item_id: str) -> int:
    if not (item_id.isascii() and item_id.isdigit() and len(item_id) < 11 and int(item_id) < 2**31):
        raise ItemNotFound(f"{item_id!r} is no index")
    return int(item_id)


async def _one(connection: AsyncConnection, tenant: str, job_id: UUID, index: int, query: Select[Any]) -> Row[Any]:
    await _check_job(connection, tenant, job_id)
    row: Row[Any] | None = (await connection.execute(query, {"job_id": job_id, "index": index})).first()
    if row is None:
        raise ItemNotFound(f"the job has no item {index}")
    return row


@router.get("/items", response_model=ItemPage)
async def list_items(
    tenant: Tenant,
    reads: Reads,
    job_id: JobId,
    state: Annotated[ItemState | None, Query(description="Only items in this state")] = None,
    page_size: PageSize = 100,
    page_token: IndexToken = None,
) -> Response:
    """List a job's items by index."""
    async with reads.connect() as connection:
        await _check_job(connection, tenant, job_id)
        rows = await _item_page(connection, job_id, state, read_index(page_token), page_size)
    token = next_token(rows, page_size, rows[-1].item_index + 1 if rows else None)
    return _page("items", [item_view(row) for row in rows], token)


async def _item_page(
    connection: AsyncConnection, job_id: UUID, state: ItemState | None, start: int, size: int
) -> Sequence[Any]:
    where = {"job_id": job_id, "start": start}
    if state is not None:
        where["start"] = (await connection.execute(read.NEXT_START[state], where)).scalar_one()
        if where["start"] is None:
            return []
    rows: Sequence[Any] = (await connection.execute(read.ITEM_PAGE[state], {**where, "limit": size})).all()
    return rows


def _page(name: str, entries: list[dict[str, Any]], token: str | None) -> Response:
    return _JSON(orjson.dumps({name: entries} if token is None else {name: entries, "next_page_token": token}))


@router.get("/items/{item_id}", response_model=Item)
async def get_item(tenant: Tenant, reads: Reads, job_id: JobId, item_id: ItemId) -> Response:
    """Read one item: its state, and why it failed where it did."""
    index = _item_index(item_id)
    async with reads.connect() as connection:
        row = await _one(connection, tenant, job_id, index, read.ITEM)
    return _JSON(orjson.dumps(item_view(row)))


@router.get("/items/{item_id}/masks", response_model=MaskPage)
async def list_masks(
    tenant: Tenant,
    reads: Reads,
    job_id: JobId,
    item_id: ItemId,
    page_size: PageSize = 1000,
    page_token: IndexToken = None,
) -> Response:
    """List the masks of one item, in the model's order. Empty until the item has succeeded."""
    index = _item_index(item_id)
    async with reads.connect() as connection:
        row = await _one(connection, tenant, job_id, index, read.ITEM_MASKS)
    start = read_index(page_token)
    masks = mask_views(row, start, start + page_size)
    more = start + page_size < (row.mask_count or 0)
    return _page("masks", masks, next_token(masks, page_size, start + page_size) if more else None)


@router.get("/results", response_class=StreamingResponse, responses=openapi.RESULTS_RESPONSES)
async def stream_results(
    tenant: Tenant,
    exports: ExportReader,
    slots: ExportSlots,
    config: Config,
    job_id: JobId,
    format: Annotated[Format, Query(description="One of those that are supported")] = ResultFormat.JSONL,
) -> Response:
    """Stream every result of a job, in any of its states; `X-Job-State` and the file say which.

    `jsonl` has one line per item that is final, the item with its `masks`, and a last line `{"job": …}` with the job's
    `state`, `done` and `counts`. `coco` is a COCO dataset whose image ids are the items' indexes: `info` has the job's
    `job_state`, `done` and `counts`, `failed_items` the items without a result. Masks without a pixel are left out of
    it. `file_name` is the object's key; where several items have the same, `#` and the item's index precede the
    extension.

    The state is the one at the beginning. Items whose result is written during the download may or may not be in it.
    """
    chosen = FORMATS.get(format.value)
    if chosen is None:
        raise NotSupported([{"pointer": "/format", "detail": f"{format.value} is not supported yet"}])
    source = await open_source(exports, tenant, job_id)
    return await ExportResponse.start(chosen, source, slots, config.export_stall_seconds)
