"""Limits on requests: what is counted, what an answer says of it, and what happens while Redis is away."""

import asyncio
import logging
import re
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from urllib.parse import urlsplit

import httpx
import pytest
import redis

from db.statements.tenants import change_tenant
from tests.api.conftest import Client, Service, body, new_tenant, serving, settings
from tests.api.processes import served

pytestmark = pytest.mark.anyio
MONOTONIC = time.monotonic
MODELS = "/v1/models"


def said(answer: httpx.Response) -> tuple[int, int, int]:
    """The quota, what is left of it, and the seconds until there is more."""
    assert answer.headers["ratelimit-policy"].endswith(";w=60")
    policy = re.fullmatch(r'"requests";q=(\d+);w=60', answer.headers["ratelimit-policy"])
    left = re.fullmatch(r'"requests";r=(\d+);t=(\d+)', answer.headers["ratelimit"])
    assert policy and left, answer.headers
    return int(policy[1]), int(left[1]), int(left[2])


def pass_time(redis_url: str, tenant: str, seconds: float) -> None:
    """Move the tenant's counter as if so much time had passed."""
    with redis.Redis.from_url(redis_url) as client:
        client.decrby(f"requests.{tenant}", int(seconds * 1_000_000))


async def test_processes_share_the_limit_of_a_tenant(service: Service, redis_url: str) -> None:
    other = {"Authorization": f"Bearer {new_tenant(service.engine)[1]}"}
    limit = settings(service.database, redis_url=redis_url, requests_per_minute=3)
    shared = {"redis_url": redis_url, "requests_per_minute": "3"}
    with served("api.main:create_app", service.database, **shared) as (host, port):
        async with (
            serving(limit, service.key) as here,
            httpx.AsyncClient(base_url=f"http://{host}:{port}", headers=here.headers, timeout=60) as there,
        ):
            answers = [await client.get(MODELS) for client in (there, here, there, here, there)]
            assert [a.status_code for a in answers] == [200, 200, 200, 429, 429]
            assert [said(a)[:2] for a in answers] == [(3, 2), (3, 1), (3, 0), (3, 0), (3, 0)]
            refused = answers[-1]
            assert refused.json()["reason"] == "TOO_MANY_REQUESTS"
            assert 0 < int(refused.headers["retry-after"]) == said(refused)[2] <= 20
            assert said(await there.get(MODELS, headers=other))[1] == 2
            await _returns_evenly(here, redis_url, service.tenant)


async def _returns_evenly(client: Client, redis_url: str, tenant: str) -> None:
    pass_time(redis_url, tenant, 20)
    assert [(await client.get(MODELS)).status_code for _ in range(2)] == [200, 429]
    pass_time(redis_url, tenant, 3600)
    assert said(await client.get(MODELS))[1] == 2


async def test_a_tenant_has_a_limit_of_its_own(service: Service, redis_url: str) -> None:
    """Each request counts once, whatever it asks for and however long it waits; one without a valid key does not."""
    with service.engine.begin() as connection:
        connection.execute(*change_tenant(service.tenant, {"requests_per_minute": 7})).one()
    async with serving(settings(service.database, redis_url=redis_url), service.key) as client:
        job = await client.post("/v1/jobs", json=body(2))
        assert job.status_code == 202 and said(job)[:2] == (7, 6)
        path, etag = job.json()["links"]["self"], job.headers["etag"]
        assert said(await client.get(path, params={"wait": 0.5}, headers={"If-None-Match": etag}))[1] == 5
        assert said(await client.head(path))[1] == 4
        assert said(await client.get(f"{path}/results"))[1] == 3
        assert said(await client.get("/v1/jobs/unknown"))[1] == 2
        assert said(await client.post("/v1/jobs", content=b"x" * 5000))[1] == 1
        for answer in (await client.get(path, headers={"Authorization": "Bearer x"}), await client.get("/healthz")):
            assert "ratelimit" not in answer.headers
        assert said(await client.get(MODELS))[1] == 0
        assert (await client.get(f"{path}/events")).status_code == 429


async def test_without_redis_requests_go_on(
    service: Service, redis_url: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "maskworks.api")
    async with gate(redis_url) as (url, open_gate):
        limit = settings(service.database, redis_url=url, requests_per_minute=1)
        async with serving(limit, service.key) as client:
            answers = await asyncio.gather(*(client.get(MODELS) for _ in range(5)))
            answers += [await client.post("/v1/jobs", json=body(1))]
            assert [a.status_code for a in answers] == [200] * 5 + [202]
            assert not any("ratelimit" in a.headers for a in answers)
            assert {a.headers["ratelimit-policy"] for a in answers} == {'"requests";q=1;w=60'}
            await open_gate()
            assert "ratelimit" not in (await client.get(MODELS)).headers  # not every request asks
            monkeypatch.setattr(time, "monotonic", lambda: MONOTONIC() + 6)
            assert [(await client.get(MODELS)).status_code for _ in range(2)] == [200, 429]
    lines = [r.message for r in caplog.records if r.message.startswith("Redis ")]
    assert len(lines) == 2 and "does not answer" in lines[0] and "answers again" in lines[1], lines


@asynccontextmanager
async def gate(redis_url: str) -> AsyncIterator[tuple[str, Callable[[], Awaitable[None]]]]:
    """A Redis that takes connections and says nothing, until it is opened."""
    target, listener = urlsplit(redis_url), socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen()
    servers: list[asyncio.Server] = []
    forwarding: set[asyncio.Task[None]] = set()
    credentials, _, _ = target.netloc.rpartition("@")
    url = target._replace(netloc=f"{credentials}@127.0.0.1:{listener.getsockname()[1]}").geturl()

    async def forward(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            while piece := await source.read(65536):
                sink.write(piece)
        sink.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        back, to = await asyncio.open_connection(target.hostname, target.port)
        await asyncio.gather(forward(reader, to), forward(back, writer))

    async def open_gate() -> None:
        servers.append(await asyncio.start_server(accept, sock=listener))

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        forwarding.add(asyncio.ensure_future(serve(reader, writer)))

    yield url, open_gate
    for server in servers:
        server.close()
    await asyncio.gather(*forwarding)
    listener.close()
