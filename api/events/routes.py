"""Follow a job by server-sent events."""

from typing import Annotated

from fastapi import APIRouter, Header, Request, Response

from api.auth import CurrentTenant
from api.database import JobId, Reads
from api.events.stream import EventStream
from api.http.problems import NOT_FOUND, PROBLEMS, Responses
from api.jobs.views import job_view
from api.refusals import JobNotFound
from db.ids import show_job_id
from db.statements import jobs as sql

router = APIRouter(prefix="/v1/jobs", tags=["jobs"], responses=PROBLEMS)
_EVENT = {
    "type": "object",
    "properties": {
        "event": {"enum": ["progress", "done"]},
        "id": {"type": "string", "description": "The job's ETag"},
        "data": {"type": "string", "contentMediaType": "application/json", "description": "The job"},
        "retry": {"type": "integer", "description": "Milliseconds to wait before the client connects again"},
    },
}
_EVENTS: Responses = {
    **NOT_FOUND,
    200: {
        "description": "Events `progress` and, at last, `done`. The schema is that of one event",
        "content": {"text/event-stream": {"schema": _EVENT}},
    },
}


@router.get("/{job_id:job}/events", response_class=Response, responses=_EVENTS)
async def follow_job(
    request: Request,
    tenant: CurrentTenant,
    reads: Reads,
    job_id: JobId,
    last_event_id: Annotated[str | None, Header(max_length=255, description="The id of the last event seen")] = None,
) -> Response:
    """Follow a job.

    The first event is the job as it is, unless `Last-Event-ID` names that state. Each further event is a change of its
    state or counts, at most one a second. The stream ends after `done`, or when the job is deleted.
    """
    async with reads.connect() as connection:
        row = (await connection.execute(*sql.job(tenant.id, job_id))).first()
    if row is None:
        raise JobNotFound(show_job_id(job_id))
    state = request.app.state
    return EventStream(state.feed, job_id, job_view(row), last_event_id, state.event_slots, tenant)
