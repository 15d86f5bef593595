"""One trace from a client's request to the batch, through the service's processes, also after its message was lost."""

import json
import os
import secrets
import signal
import subprocess
import sys

import httpx
import redis
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from deploy.local.stack import Stack
from tests.conftest import Bucket
from tests.jobs import picture
from tests.receiver import Receiver
from tests.waiting import wait_for
from workers.broker import list_names

OURS = {"job", "chunk", "attempt", "model", "task", "images", "end", "device", "precision"}


def spans(collector: Receiver, trace: str) -> dict[str, Span]:
    """The spans of a trace that have come so far, by name."""
    found: dict[str, Span] = {}
    for _, body in list(collector.seen):
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
            for scope in resource.scope_spans:
                found |= {span.name: span for span in scope.spans if span.trace_id.hex() == trace}
    return found


def test_a_trace_leads_from_the_request_to_the_batch(
    service: Stack, http: httpx.Client, pictures: Bucket, collector: Receiver
) -> None:
    image = pictures.put("traced.jpg", picture(64, 96))
    trace, caller = secrets.token_hex(16), secrets.token_hex(8)
    body = {"task": {"type": "auto"}, "input": {"items": [{"image": image, "custom_id": "a secret"}]}}
    worker = service.supervisor.pid("worker-1")
    os.kill(worker, signal.SIGSTOP)
    try:
        answer = http.post("/v1/jobs", json=body, headers={"traceparent": f"00-{trace}-{caller}-01"})
        with redis.Redis.from_url(service.stores.redis_url) as queue:
            wait_for(lambda: any(queue.llen(name) for name in list_names("sam_tiny")))
            queue.flushall()  # the message that comes again knows nothing of the trace
    finally:
        os.kill(worker, signal.SIGCONT)
    assert http.get(f"/v1/jobs/{answer.json()['id']}", params={"wait": 60}).json()["state"] == "succeeded"

    wait_for(lambda: {"dispatch", "chunk", "batch"} <= set(spans(collector, trace)))
    found = spans(collector, trace)
    by_id = {span.span_id: span for span in found.values()}
    up = [found["batch"]]
    while (parent := by_id.get(up[-1].parent_span_id)) is not None:
        up.append(parent)
    assert [span.name for span in up[:3]] == ["batch", "chunk", "dispatch"]
    assert up[-1].name == "POST /v1/jobs" and up[-1].parent_span_id.hex() == caller
    told = {a.key: a.value for span in up[:3] for a in span.attributes}
    assert {key.removeprefix("maskworks.") for key in told} == OURS
    assert told["maskworks.job"].string_value == answer.json()["id"]
    assert told["maskworks.end"].string_value == "done"
    assert not any(secret in body for _, body in collector.seen for secret in (b"a secret", b"traced.jpg", b"Bearer"))
    logged = [json.loads(line) for line in (service.folder.logs / "api.log").read_text().splitlines() if line[0] == "{"]
    assert [line["trace"] for line in logged if line["message"].startswith(answer.json()["id"])] == [trace]


def test_where_traces_are_off_a_worker_imports_no_exporter() -> None:
    """Redis' client and FastAPI import more of OpenTelemetry where it is installed."""
    script = (
        "import sys; import workers.worker; from db.traces import span, start_traces, traceparent\n"
        "start_traces(False, 'worker')\n"
        "with span('chunk', {'images': 1}) as note: note(end='done'); print(traceparent())\n"
        "print([name for name in sys.modules if 'opentelemetry.exporter' in name])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "None\n[]\n"
