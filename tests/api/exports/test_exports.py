"""Downloads whose clients do not read: over real sockets, from a real server."""

import json
import socket
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from sqlalchemy import Engine, Row, text

from api.main import create_app
from db.statements.bound import Bound
from exports.pages import Reader
from exports.table import FORMATS
from tests.api.conftest import PEPPER, Service, new_tenant, result_row, settings, some_masks
from tests.api.processes import process, wait_ready

pytestmark = pytest.mark.anyio
N = 48
END = b"\r\n0\r\n\r\n"
"""The last chunk: a client that does not see it knows that the file is not whole."""


async def a_job(service: Service, masks: int) -> str:
    job: str = (await service.submit(N))["id"]
    row = result_row(some_masks(masks))
    service.work(job, lambda _: row, N)
    return job


@pytest.fixture
async def job(service: Service) -> str:
    """A job of 3 to 7 MB of results: more than sockets hold."""
    return await a_job(service, 600)


@contextmanager
def server(service: Service, says: str, **limits: int) -> Iterator[httpx.Client]:
    environment = {f"MASKWORKS_{name.upper()}": str(value) for name, value in limits.items()}
    environment |= {"MASKWORKS_DATABASE_URL": service.database, "MASKWORKS_KEY_PEPPER": PEPPER}
    headers = {"Authorization": f"Bearer {service.key}"}
    with (
        process(environment, "api.server", says=says) as url,
        httpx.Client(base_url=url, headers=headers, timeout=60) as client,
    ):
        wait_ready(client)
        yield client


def stalled(client: httpx.Client, path: str) -> socket.socket:
    """Ask for a download, read the beginning of its answer, and no more."""
    reader = socket.socket()
    reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    reader.settimeout(60)
    at = urlsplit(str(client.base_url))
    reader.connect((at.hostname, at.port))
    head = f"GET {path} HTTP/1.1\r\nHost: api\r\nAuthorization: {client.headers['authorization']}\r\n\r\n"
    reader.sendall(head.encode())
    assert reader.recv(12) == b"HTTP/1.1 200"
    return reader


def rest_of(reader: socket.socket) -> bytes:
    """Until the server ends the connection, however it does: what was on its way may be lost."""
    received = b""
    with suppress(ConnectionResetError):
        while block := reader.recv(1 << 20):
            received += block
    return received


def sessions(engine: Engine) -> list[Any]:
    """Sessions of other processes with this database that hold a transaction or a snapshot while they do nothing."""
    held = text(
        "SELECT state, query FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() "
        "AND (state LIKE 'idle in transaction%' OR (state = 'idle' AND backend_xmin IS NOT NULL))"
    )
    with engine.connect() as connection:
        return list(connection.execute(held))


# These equal masks make files that fit into a socket: nobody would wait for their reader.
@pytest.mark.parametrize("format", [name for name in FORMATS if name not in ("parquet", "gpkg")])
async def test_slow_readers_hold_nothing_and_deny_nobody(service: Service, format: str) -> None:
    # A file of more than 3 MB: more than sockets hold. A mask is longest in GeoJSON, and takes longest.
    job = await a_job(service, 200 if format == "geojson" else 600)
    path = f"/v1/jobs/{job}/results?format={format}"
    other, other_key = new_tenant(service.engine)
    # Downloads get half of a pool of two: the second reader comes by only if the first holds no connection.
    limits = {"exports_per_tenant": 3, "pool_size": 2}
    with server(service, "submitted by", **limits) as client, ExitStack() as open_readers:
        readers = [open_readers.enter_context(stalled(client, path)) for _ in range(2)]
        third = client.get(path)
        assert third.status_code == 200 and third.headers["x-job-state"] == "succeeded"
        readers.append(open_readers.enter_context(stalled(client, path)))
        fourth = client.get(path)
        assert (fourth.status_code, fourth.json()["reason"]) == (429, "TOO_MANY_EXPORTS")
        assert int(fourth.headers["retry-after"]) > 0
        theirs = {"Authorization": f"Bearer {other_key}"}
        assert client.get(f"/v1/jobs/{job}/results", headers=theirs).status_code == 404, other
        empty = client.post("/v1/jobs", headers=theirs, json={
            "task": {"type": "auto"}, "input": {"items": [{"image": "s3://bucket/a.jpg"}]},
        }).json()  # fmt: skip
        assert client.get(f"/v1/jobs/{empty['id']}/results", headers=theirs).status_code == 200
        assert sessions(service.engine) == []
        assert rest_of_chunked(readers[0]) == third.content
        readers[1].close()
        assert until_served(client, path).content == third.content


def rest_of_chunked(reader: socket.socket) -> bytes:
    """The body of an answer that is read on after all: it is the whole of it."""
    received = b""
    while not received.endswith(END):
        block = reader.recv(1 << 20)
        assert block
        received += block
    chunks, body = received.partition(b"\r\n\r\n")[2], b""
    while size := int(chunks[: chunks.index(b"\r\n")], 16):
        start = chunks.index(b"\r\n") + 2
        body += chunks[start : start + size]
        chunks = chunks[start + size + 2 :]
    return body


def until_served(client: httpx.Client, path: str) -> httpx.Response:
    deadline = time.monotonic() + 60
    while (answer := client.get(path)).status_code == 429:
        assert time.monotonic() < deadline, "the slot did not come back in a minute"
        time.sleep(0.1)
    assert answer.status_code == 200
    return answer


async def test_a_client_that_takes_nothing_is_cut(service: Service, job: str) -> None:
    path = f"/v1/jobs/{job}/results"
    limits = {"exports_per_tenant": 1, "export_stall_seconds": 1}
    with server(service, "an answer was cut", **limits) as client, stalled(client, path) as reader:
        whole = until_served(client, path).content
        received = rest_of(reader)
    assert json.loads(whole.splitlines()[-1])["job"]["id"] == job
    assert len(received) < len(whole) and not received.endswith(END)


class Counting(Reader):
    """Counts the statements that it runs."""

    n = 0

    async def all(self, statement: Bound) -> Sequence[Row[Any]]:
        self.n += 1
        return await super().all(statement)


async def test_a_head_does_not_read_the_whole_job(service: Service, job: str) -> None:
    app = create_app(settings(service.database))
    reader = app.state.export_reader = Counting(app.state.reads, 1)
    headers = {"Authorization": f"Bearer {service.key}"}
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://api", headers=headers) as client,
    ):
        head = await client.head(f"/v1/jobs/{job}/results")
        of_head = reader.n
        got = await client.get(f"/v1/jobs/{job}/results")
    assert (head.status_code, head.content, head.headers["x-job-state"]) == (200, b"", "succeeded")
    assert of_head == 2 < reader.n - of_head and len(got.text.splitlines()) == N + 1
