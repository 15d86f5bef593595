"""The table: every class has its row, and every answer is problem+json."""

import asyncio
import contextlib
import threading
from collections.abc import Iterator
from socket import AF_INET, SHUT_RDWR, SO_REUSEADDR, SOCK_STREAM, SOL_SOCKET, create_connection, socket

import httpx
import pytest
from sqlalchemy import make_url

from api import errors
from api.main import create_app
from api.refusals import Problem
from tests.api.conftest import Service, body, serving, settings

pytestmark = pytest.mark.anyio
FIELDS = {"type", "title", "status", "detail", "instance", "reason"}


def classes(root: type[Exception]) -> Iterator[type[Exception]]:
    for cls in root.__subclasses__():
        yield cls
        yield from classes(cls)


def test_every_problem_has_a_row_of_its_own() -> None:
    found = set(classes(Problem))
    assert len(found) >= 10
    assert found <= set(errors.TABLE)


def test_reasons_are_upper_snake_and_told_apart() -> None:
    kinds = {id(k): k for k in errors.TABLE.values()}.values()
    assert all(k.reason.replace("_", "").isupper() and k.title for k in kinds)
    assert len({k.reason for k in kinds}) == len(kinds)


async def test_paths_and_methods_that_do_not_exist(service: Service) -> None:
    nowhere = await service.client.get("/v1/nothing")
    wrong = await service.client.put("/v1/jobs")
    for answer, status, reason in ((nowhere, 404, "NOT_FOUND"), (wrong, 405, "METHOD_NOT_ALLOWED")):
        assert (answer.status_code, answer.json()["reason"]) == (status, reason)
        assert set(answer.json()) == FIELDS and answer.headers["content-type"] == "application/problem+json"
    assert "POST" in wrong.headers["allow"]


async def test_an_unforeseen_error_says_nothing_of_itself(service: Service) -> None:
    app = create_app(settings(service.database))

    @app.get("/boom")
    async def boom() -> None:
        raise ValueError("secret of the house")

    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://api") as client:
        answer = await client.get("/boom")
    assert (answer.status_code, answer.json()["reason"]) == (500, "INTERNAL")
    assert "secret" not in answer.text and answer.headers["content-type"] == "application/problem+json"


class Wire:
    """A TCP relay to Postgres that can be cut and mended: the database away, and back."""

    def __init__(self, host: str, port: int) -> None:
        self._to = (host, port)
        self._open: list[socket] = []
        self._listen(0)

    def _listen(self, port: int) -> None:
        self._server = socket(AF_INET, SOCK_STREAM)
        self._server.setsockopt(SOL_SOCKET, SO_REUSEADDR, 1)
        self._server.bind(("127.0.0.1", port))
        self._server.listen()
        self.port: int = self._server.getsockname()[1]
        threading.Thread(target=self._accept, args=(self._server,), daemon=True).start()

    def _accept(self, server: socket) -> None:
        while True:
            try:
                near, _ = server.accept()
            except OSError:  # cut
                return
            far = create_connection(self._to)
            self._open += [near, far]
            for source, sink in ((near, far), (far, near)):
                threading.Thread(target=self._pump, args=(source, sink), daemon=True).start()

    def _pump(self, source: socket, sink: socket) -> None:
        try:
            while data := source.recv(65536):
                sink.sendall(data)
            sink.shutdown(SHUT_RDWR)
        except OSError:  # cut, or the other side ended first
            return

    def cut(self) -> None:
        self._server.shutdown(SHUT_RDWR)
        self._server.close()
        for end in self._open:
            with contextlib.suppress(OSError):  # ended by itself before
                end.shutdown(SHUT_RDWR)
            end.close()
        self._open.clear()

    def mend(self) -> None:
        self._listen(self.port)


async def test_the_database_goes_away_and_comes_back(service: Service) -> None:
    url = make_url(service.database)
    assert url.host and url.port
    wire = Wire(url.host, url.port)
    through = url.set(host="127.0.0.1", port=wire.port).render_as_string(hide_password=False)
    async with serving(settings(through), service.key) as client:
        before = await client.post("/v1/jobs", json=body(1))
        assert before.status_code == 202
        wire.cut()
        for answer in (
            await client.get(f"/v1/jobs/{before.json()['id']}"),
            await client.post("/v1/jobs", json=body(1)),
            await client.get("/v1/jobs"),
            await client.get(f"/v1/jobs/{before.json()['id']}/results"),
            await client.get("/readyz"),
        ):
            assert (answer.status_code, answer.json()["reason"]) == (503, "DATABASE_UNAVAILABLE"), answer.text
            assert int(answer.headers["retry-after"]) > 0 and set(answer.json()) == FIELDS
            assert "127.0.0.1" not in answer.text
        assert (await client.get("/healthz")).status_code == 200
        wire.mend()
        assert (await client.get("/readyz")).status_code == 200
        assert (await client.get(f"/v1/jobs/{before.json()['id']}")).json()["state"] == "pending"
        assert (await client.post("/v1/jobs", json=body(1))).status_code == 202
        assert len((await client.get("/v1/jobs")).json()["jobs"]) == 2
    wire.cut()


async def test_more_requests_than_connections_all_get_an_answer(service: Service) -> None:
    async with serving(settings(service.database, pool_size=1), service.key) as client:
        answers = await asyncio.gather(*[client.post("/v1/jobs", json=body(5)) for _ in range(30)])
    assert {a.status_code for a in answers} == {202}
