"""The download of all results of a job, in one of the formats of the table."""

from typing import Annotated

from fastapi import APIRouter, Query, Response
from starlette.responses import StreamingResponse

from api.auth import CurrentTenant
from api.database import Config, JobId
from api.exports.download import ExportReader, ExportSlots, enum_of, one_of
from api.exports.response import ExportResponse
from api.http.numbers import INTEGER
from api.http.paging import IndexToken, read_index
from api.http.problems import NOT_FOUND, PROBLEMS, Responses
from exports.pages import open_source
from exports.table import DEFAULT, FORMATS

router = APIRouter(prefix="/v1/jobs/{job_id:job}", tags=["results"], responses={**PROBLEMS, **NOT_FOUND})

_MOST_ITEMS = 1_000_000
DESCRIPTION = "\n\n".join(
    (
        "Stream every result of a job, in any state of the job. `X-Job-State` has its state when the download began. "
        "Items whose result is written during the download may or may not be in the file.",
        "With `page_size` the answer is a whole file about so many items. `X-Next-Page-Token` has the `page_token` of "
        "the next file. Only the last one lacks it.",
        *(f"**{name}**: {format.about}" for name, format in FORMATS.items()),
    )
)
_RESPONSES: Responses = {
    200: {
        "description": "The stream",
        "headers": {
            "X-Job-State": {"description": "The job's state when the stream began", "schema": {"type": "string"}},
            "X-Next-Page-Token": {
                "description": "`page_token` of the next file, if there is one",
                "schema": {"type": "string"},
                "required": False,
            },
        },
        "content": {format.media_type: {"schema": {}} for format in FORMATS.values()},
    },
}


FormatName = Annotated[str, one_of(FORMATS), enum_of(FORMATS)]


@router.get("/results", response_class=StreamingResponse, responses=_RESPONSES, description=DESCRIPTION)
async def stream_results(
    tenant: CurrentTenant,
    reader: ExportReader,
    slots: ExportSlots,
    config: Config,
    job_id: JobId,
    format: Annotated[FormatName, Query(description="The format of the file")] = DEFAULT,
    page_size: Annotated[
        int | None, Query(ge=1, le=_MOST_ITEMS, description="The most items of the file. Without it: all"), INTEGER
    ] = None,
    page_token: IndexToken = None,
) -> Response:
    start = read_index(page_token)
    stop = None if page_size is None else start + page_size
    source = await open_source(reader, tenant.id, job_id, start, stop)
    return await ExportResponse.start(FORMATS[format], source, slots, tenant, config.export_stall_seconds)
