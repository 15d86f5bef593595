"""The answer that streams a job's events, in the form of server-sent events (WHATWG HTML, section 9.2)."""

import time
from collections.abc import AsyncGenerator
from typing import Any
from uuid import UUID

from fastapi.sse import format_sse_event
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from api.events.feed import Feed
from api.http.sending import taken
from api.http.slots import Slots
from api.jobs.views import Job, job_etag
from api.tenant import Tenant

HEARTBEAT_SECONDS = 15.0
RETRY_MILLISECONDS = 2000
_LOOK_SECONDS = 1.0  # how soon a stream notices that the server stops


class EventStream(StreamingResponse):
    """Sends the job as it is, each change, and `done` at the end. Holds a slot of its tenant until then."""

    media_type = "text/event-stream"

    def __init__(self, feed: Feed, job_id: UUID, job: Job, known: str | None, slots: Slots, tenant: Tenant) -> None:
        """`known` is the id of the last event that the client has. Raises the slots' refusal."""
        super().__init__(_nothing(), headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"})
        self._feed, self._job_id, self._job, self._known = feed, job_id, job, known
        self._slots, self._tenant = slots, tenant
        slots.take(tenant)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._state: dict[str, Any] = scope.get("state", {})
        self._head = scope.get("head", False)
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._slots.give_back(self._tenant)

    async def stream_response(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        if not self._head:
            async for block in self._events():
                if not await taken(send, block, HEARTBEAT_SECONDS, self._state):
                    return
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _events(self) -> AsyncGenerator[bytes, None]:
        yield format_sse_event(retry=RETRY_MILLISECONDS)
        with self._feed.follow(self._job_id, self._job, self._tenant.id) as topic:
            known, sent_at = self._known, time.monotonic()
            while (job := topic.job) is not None and not self._closing():
                tag = job_etag(job).strip('"')
                if tag != known or job.done:
                    yield event(job, tag)
                    known, sent_at = tag, time.monotonic()
                elif time.monotonic() - sent_at > HEARTBEAT_SECONDS:
                    yield format_sse_event(comment="still here")
                    sent_at = time.monotonic()
                if job.done:
                    return
                await topic.change(_LOOK_SECONDS)

    def _closing(self) -> bool:
        closing = self._state.get("closing")
        return closing is not None and closing.is_set()


def event(job: Job, tag: str) -> bytes:
    """The job as an event: `done` in a final state, else `progress`."""
    return format_sse_event(event="done" if job.done else "progress", id=tag, data_str=job.model_dump_json())


async def _nothing() -> AsyncGenerator[bytes, None]:
    return
    yield b""
