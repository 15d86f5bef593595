"""The download of all results of a job, in one of the formats of the table."""

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import BeforeValidator, WithJsonSchema
from pydantic_core import PydanticCustomError
from starlette.responses import StreamingResponse

from api.auth import CurrentTenant
from api.database import Config, JobId
from api.exports.response import ExportResponse
from api.http.problems import NOT_FOUND, PROBLEMS, Responses
from api.http.slots import Slots
from exports.pages import Reader, open_source
from exports.table import DEFAULT, FORMATS

router = APIRouter(prefix="/v1/jobs/{job_id:job}", tags=["results"], responses={**PROBLEMS, **NOT_FOUND})

DESCRIPTION = "\n\n".join(
    (
        "Stream every result of a job, in any state of the job. `X-Job-State` has its state when the download began. "
        "Items whose result is written during the download may or may not be in the file.",
        *(f"**{name}**: {format.about}" for name, format in FORMATS.items()),
    )
)
_RESPONSES: Responses = {
    200: {
        "description": "The stream",
        "headers": {
            "X-Job-State": {"description": "The job's state when the stream began", "schema": {"type": "string"}}
        },
        "content": {format.media_type: {"schema": {}} for format in FORMATS.values()},
    },
}


def _known(name: object) -> object:
    if name not in FORMATS:
        raise PydanticCustomError("format", f"must be one of {', '.join(FORMATS)}")
    return name


FormatName = Annotated[str, BeforeValidator(_known), WithJsonSchema({"type": "string", "enum": list(FORMATS)})]


async def _reader(request: Request) -> Reader:
    reader: Reader = request.app.state.export_reader
    return reader


async def _slots(request: Request) -> Slots:
    slots: Slots = request.app.state.export_slots
    return slots


@router.get("/results", response_class=StreamingResponse, responses=_RESPONSES, description=DESCRIPTION)
async def stream_results(
    tenant: CurrentTenant,
    reader: Annotated[Reader, Depends(_reader)],
    slots: Annotated[Slots, Depends(_slots)],
    config: Config,
    job_id: JobId,
    format: Annotated[FormatName, Query(description="The format of the file")] = DEFAULT,
) -> Response:
    source = await open_source(reader, tenant.id, job_id)
    return await ExportResponse.start(FORMATS[format], source, slots, tenant, config.export_stall_seconds)
