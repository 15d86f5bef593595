"""The event of a job's end, as Standard Webhooks (https://www.standardwebhooks.com) gives its form."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import orjson
from sqlalchemy import Row
from standardwebhooks import Webhook

from db.ids import show_job_id
from exports.pages import Job


def payload(job: Row[Any]) -> bytes:
    """The body. It is thin: what the job found is read by its links. The same at every try, as the job is final."""
    about = Job.of(job)
    data = {
        "id": about.id,
        "name": job.name,
        "labels": job.labels,
        "state": about.state,
        "model": job.model,
        "counts": about.counts,
        "error": {"reason": job.error_reason, "detail": job.error_detail} if job.error_reason else None,
        "create_time": job.created_at,
        "end_time": job.ended_at,
        "retry_of": show_job_id(job.retry_of) if job.retry_of else None,
        "links": {"self": f"/v1/jobs/{about.id}", "results": f"/v1/jobs/{about.id}/results"},
    }
    event = {"type": f"job.{job.state.value}", "timestamp": job.ended_at, "data": data}
    return orjson.dumps(event, option=orjson.OPT_UTC_Z)


def headers(job: Row[Any], body: bytes, secrets: Sequence[bytes], at: datetime) -> dict[str, str]:
    """The id stays the same for every try of an event. There is a signature for each valid secret."""
    event_id = f"msg_{job.id.hex}"
    sent = at.astimezone(UTC)
    signatures = [Webhook(secret).sign(event_id, sent, body.decode()) for secret in secrets]
    return {
        "Content-Type": "application/json",
        "User-Agent": "maskworks",
        "webhook-id": event_id,
        "webhook-timestamp": str(int(sent.timestamp())),
        "webhook-signature": " ".join(signatures),
    }
