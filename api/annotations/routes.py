"""Annotations: store, list, export, delete."""

import logging
from typing import Annotated, Literal
from uuid import UUID

import orjson
from fastapi import APIRouter, Depends, Path, Query, Request, Response
from pydantic import AfterValidator
from sqlalchemy.ext.asyncio import AsyncConnection
from starlette.convertors import StringConvertor, register_url_convertor
from starlette.responses import StreamingResponse

from api.annotations.reading import Row, reading
from api.annotations.schemas import AnnotationPage, AnnotationsDeleted, AnnotationsStored
from api.auth import CurrentTenant
from api.database import Config, Database, Reads
from api.exports.download import ExportReader, ExportSlots, enum_of, one_of
from api.exports.response import ExportResponse
from api.http.paging import JobToken, PageSize, next_token, read_id
from api.http.problems import PROBLEMS, Responses, problem_answer
from api.refusals import AnnotationNotFound, FieldError, InvalidBody, InvalidParameter, TooManyAnnotations
from api.settings import Settings
from api.tenant import Tenant
from db.ids import show_job_id
from db.statements import annotations as sql
from db.states import AnnotationStage, AnnotationState
from exports.annotations.source import AnnotationSource
from exports.annotations.table import ANNOTATION_FORMATS
from exports.annotations.view import annotation_view
from intake.fields import NO_CONTROL, plain

log = logging.getLogger("maskworks.api")


class _AnnotationIdConvertor(StringConvertor):
    """`{annotation_id:annotation}` is no other word of a path, such as `export`."""

    regex = "[0-9a-f]{32}"


register_url_convertor("annotation", _AnnotationIdConvertor())
router = APIRouter(prefix="/v1/annotations", tags=["annotations"], responses=PROBLEMS)

_BODY = {
    "requestBody": {
        "required": True,
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/AnnotationsRequest"}}},
    }
}
_STORE_RESPONSES: Responses = {
    408: problem_answer("The body came too slowly"),
    413: problem_answer("The body is too large"),
    415: problem_answer("The body is not JSON"),
    400: problem_answer("The client went away"),
    409: problem_answer("The tenant would have too many annotations: delete some"),
}
_DELETE_RESPONSES: Responses = {404: problem_answer("No such annotation, or another tenant's")}
_DESCRIPTION = "\n\n".join(
    (
        "Stream the annotations that the filters choose, image by image.",
        *(f"**{name}**: {format.about}" for name, format in ANNOTATION_FORMATS.items()),
    )
)
_EXPORT_RESPONSES: Responses = {
    200: {"description": "The stream", "content": {f.media_type: {"schema": {}} for f in ANNOTATION_FORMATS.values()}}
}


FormatName = Annotated[str, one_of(ANNOTATION_FORMATS), enum_of(ANNOTATION_FORMATS)]


async def _filters(
    state: Annotated[AnnotationState | None, Query(description="Only annotations in this state")] = None,
    stage: Annotated[AnnotationStage | None, Query(description="Only annotations of this stage")] = None,
    image_prefix: Annotated[
        str | None,
        Query(
            min_length=1,
            max_length=2048,
            description="Only images whose URI begins so",
            examples=["s3://bucket/a/"],
            json_schema_extra={"pattern": NO_CONTROL},
        ),
        AfterValidator(lambda text: text if text is None else plain(text)),
    ] = None,
) -> sql.Filters:
    return sql.Filters(None if state is None else (state,), stage, image_prefix)


Filters = Annotated[sql.Filters, Depends(_filters)]
AnnotationId = Annotated[
    str,
    Path(
        description="A UUID as 32 hex digits",
        examples=["0198a3c2f0b47d21a5e94c0b6f3d8e17"],
        json_schema_extra={"pattern": "^[0-9a-f]{32}$"},
    ),
]
All = Annotated[Literal["true"] | None, Query(description="Every annotation, where no filter is given")]


@router.post("", status_code=201, response_model=AnnotationsStored, responses=_STORE_RESPONSES, openapi_extra=_BODY)
async def store_annotations(request: Request, tenant: CurrentTenant, database: Database, config: Config) -> Response:
    """Store annotations: all of them, or none.

    An annotation with an `id` of your own replaces the one that has it, so a call can be repeated, and a review
    changed.
    """
    async with reading(request, tenant) as rows, database.begin() as connection:
        await _check_jobs(connection, tenant, rows)
        added = sum((await connection.execute(*sql.store(tenant.id, rows))).scalars())
        await _check_room(connection, tenant, added, config)
        ids = [row["id"].hex for row in rows]
    return Response(orjson.dumps({"ids": ids}), 201, media_type="application/json")


async def _check_room(connection: AsyncConnection, tenant: Tenant, added: int, config: Settings) -> None:
    """After the rows, so that two calls at once do not both find the last place. Raises TooManyAnnotations."""
    if added == 0:
        return
    now = (await connection.execute(*sql.count(tenant.id))).scalar_one()
    if now > config.max_annotations:
        raise TooManyAnnotations(
            f"you have {now - added} annotations, and may have {config.max_annotations}: delete some, or store less"
        )


async def _check_jobs(connection: AsyncConnection, tenant: Tenant, rows: list[Row]) -> None:
    """Raises InvalidBody for a job that is not the tenant's."""
    named = {row["job_id"] for row in rows} - {None}
    if not named:
        return
    own = set((await connection.execute(*sql.own_jobs(tenant.id, named))).scalars())
    wrong: list[FieldError] = [
        {"pointer": f"/annotations/{number}/source/job_id", "detail": f"you have no job {show_job_id(row['job_id'])!r}"}
        for number, row in enumerate(rows)
        if row["job_id"] is not None and row["job_id"] not in own
    ]
    if wrong:
        raise InvalidBody(wrong)


@router.get("", response_model=AnnotationPage)
async def list_annotations(
    tenant: CurrentTenant, reads: Reads, filters: Filters, page_size: PageSize = 50, page_token: JobToken = None
) -> Response:
    """List annotations, by id. A page of large masks has fewer than `page_size`."""
    async with reads.connect() as connection:
        page = sql.page(tenant.id, filters, after=read_id(page_token), limit=page_size)
        rows = (await connection.execute(*page)).all()
    cut = bool(rows) and rows[-1].so_far >= sql.PAGE_BYTES
    token = next_token(rows, len(rows) if cut else page_size, rows[-1].id if rows else None)
    body = {"annotations": [annotation_view(row) for row in rows]} | (
        {} if token is None else {"next_page_token": token}
    )
    return Response(orjson.dumps(body, option=orjson.OPT_UTC_Z), media_type="application/json")


@router.get("/export", response_class=StreamingResponse, responses=_EXPORT_RESPONSES, description=_DESCRIPTION)
async def export_annotations(
    tenant: CurrentTenant,
    reader: ExportReader,
    slots: ExportSlots,
    config: Config,
    filters: Filters,
    format: Annotated[FormatName, Query(description="The format of the file")] = "jsonl",
) -> Response:
    chosen = ANNOTATION_FORMATS[format]
    headers = {"Content-Disposition": f'attachment; filename="annotations.{chosen.suffix}"'}
    parts = chosen.parts(AnnotationSource(reader, tenant.id, filters))
    return await ExportResponse.begin(parts, slots, tenant, config.export_stall_seconds, chosen.media_type, headers)


@router.delete("/{annotation_id:annotation}", status_code=204, responses=_DELETE_RESPONSES)
async def delete_annotation(tenant: CurrentTenant, database: Database, annotation_id: AnnotationId) -> Response:
    """Delete one annotation."""
    async with database.begin() as connection:
        gone = await connection.execute(*sql.delete_one(tenant.id, UUID(hex=annotation_id)))
    if gone.rowcount == 0:
        raise AnnotationNotFound(f"you have no annotation {annotation_id!r}")
    return Response(status_code=204)


@router.delete("", response_model=AnnotationsDeleted)
async def delete_annotations(
    tenant: CurrentTenant, database: Database, filters: Filters, all: All = None
) -> AnnotationsDeleted:
    """Delete the annotations that the filters choose, up to 5000 of them. Call again while there are `more`.

    Without a filter nothing is deleted, unless `all` says so.
    """
    if (filters == sql.Filters()) != (all is not None):
        raise InvalidParameter("all", "give a filter, or all=true for every annotation, and not both")
    async with database.begin() as connection:
        gone = (await connection.execute(*sql.delete_chosen(tenant.id, filters))).rowcount
    log.info("%d annotations deleted by %s", gone, tenant.id)
    return AnnotationsDeleted(deleted=gone, more=gone == sql.DELETE_MOST)
