"""GET /v1/jobs/{id}/events over real connections: what a client reads, and how a stream ends."""

import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from db.states import ItemReason
from tests.api.conftest import PEPPER, Service, failure_row, new_tenant, result_row, some_masks
from tests.api.processes import process, wait_ready

pytestmark = pytest.mark.anyio


@dataclass(frozen=True)
class Event:
    kind: str
    id: str
    data: dict[str, Any]


@pytest.fixture(scope="module")
def url(module_database: str) -> Iterator[str]:
    """A running API."""
    limits = {"MASKWORKS_EVENTS_PER_TENANT": "3"}
    environment = {"MASKWORKS_DATABASE_URL": module_database, "MASKWORKS_KEY_PEPPER": PEPPER, **limits}
    with process(environment, "api.server", says="") as address:
        with httpx.Client(base_url=address) as client:
            wait_ready(client)
        yield address


@contextmanager
def following(url: str, service: Service, job: dict[str, Any], last: str | None = None) -> Iterator[Iterator[Event]]:
    """The events of a job as they come, until the server ends the stream."""
    headers = {"Authorization": f"Bearer {service.key}"} | ({"Last-Event-ID": last} if last else {})
    with (
        httpx.Client(base_url=url, headers=headers, timeout=60) as client,
        client.stream("GET", f"/v1/jobs/{job['id']}/events") as answer,
    ):
        assert answer.status_code == 200, answer.read()
        assert answer.headers["content-type"].startswith("text/event-stream")
        yield parsed(answer.iter_lines())


def parsed(lines: Iterator[str]) -> Iterator[Event]:
    """By the rules of the format: fields until an empty line; an event without data is none."""
    fields: dict[str, str] = {}
    for line in lines:
        if line:
            name, _, value = line.partition(":")
            fields[name] = value.removeprefix(" ")
        else:
            if "data" in fields:
                yield Event(fields["event"], fields["id"], json.loads(fields["data"]))
            fields = {}


async def tag(service: Service, job: dict[str, Any]) -> str:
    answer = await service.client.get(f"/v1/jobs/{job['id']}")
    return str(answer.headers["etag"].strip('"'))


def finish(service: Service, job: dict[str, Any]) -> None:
    service.work(job["id"], lambda _: result_row(some_masks(1)), 1)


async def test_a_job_from_its_start_to_its_end(url: str, service: Service) -> None:
    job = await service.submit(2)
    with following(url, service, job) as events:
        first = next(events)
        assert (first.kind, first.data["state"], first.data["id"]) == ("progress", "pending", job["id"])
        assert first.id == await tag(service, job)
        fence = service.claim(job["id"])
        service.write(fence, {0: failure_row(ItemReason.TIMEOUT)})
        service.complete(fence)
        assert next(event for event in events if event.data["counts"]["failed"]).kind == "progress"
        fence = service.claim(job["id"], 1)
        service.write(fence, {1: result_row(some_masks(1))})
        service.complete(fence)
        service.finish(job["id"])
        *_, last = events
    assert (last.kind, last.data["state"], last.id) == ("done", "partially_succeeded", await tag(service, job))


async def test_a_client_that_comes_back_gets_what_is_new(url: str, service: Service) -> None:
    job = await service.submit(1)
    with following(url, service, job, last=await tag(service, job)) as events:
        finish(service, job)
        assert next(events).data["counts"]["succeeded"] == 1


async def test_a_job_that_is_done_says_so_at_once(url: str, service: Service) -> None:
    job = await service.submit(1)
    finish(service, job)
    with following(url, service, job, last=await tag(service, job)) as events:
        assert [event.kind for event in events] == ["done"]


async def test_a_deleted_job_ends_its_streams(url: str, service: Service) -> None:
    job = await service.submit(1)
    with following(url, service, job) as events:
        next(events)
        await service.client.post(f"/v1/jobs/{job['id']}:cancel")
        await service.client.delete(f"/v1/jobs/{job['id']}")
        assert {event.kind for event in events} <= {"done"}


async def test_a_tenant_has_so_many_streams(url: str, service: Service) -> None:
    job = await service.submit(1)
    headers = {"Authorization": f"Bearer {service.key}"}
    with following(url, service, job), following(url, service, job), following(url, service, job):
        refused = httpx.get(f"{url}/v1/jobs/{job['id']}/events", headers=headers)
        assert (refused.status_code, refused.json()["reason"]) == (429, "TOO_MANY_FOLLOWERS")
    finish(service, job)
    with following(url, service, job) as events:  # those that went away gave their places back
        assert next(events).kind == "done"


async def test_a_stopping_server_ends_its_streams(service: Service) -> None:
    job = await service.submit(1)
    environment = {"MASKWORKS_DATABASE_URL": service.database, "MASKWORKS_KEY_PEPPER": PEPPER}
    with process(environment, "api.server", says="") as address:
        with httpx.Client(base_url=address) as client:
            wait_ready(client)
        at = urlsplit(address)
        reader = socket.create_connection((at.hostname, at.port))
        reader.settimeout(60)
        head = f"GET /v1/jobs/{job['id']}/events HTTP/1.1\r\nHost: api\r\nAuthorization: Bearer {service.key}\r\n\r\n"
        reader.sendall(head.encode())
        assert reader.recv(12) == b"HTTP/1.1 200"
    received = b""
    with reader:
        while block := reader.recv(65536):
            received += block
    assert received.endswith(b"0\r\n\r\n")  # the answer is whole


async def test_another_tenants_job(service: Service) -> None:
    job = await service.submit(1)
    _, key = new_tenant(service.engine)
    answer = await service.client.get(f"/v1/jobs/{job['id']}/events", headers={"Authorization": f"Bearer {key}"})
    assert (answer.status_code, answer.json()["reason"]) == (404, "JOB_NOT_FOUND")
