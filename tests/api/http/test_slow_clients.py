"""Clients that send half of a request, or a byte now and then."""

import contextlib
import threading
import time
from collections.abc import Iterator

import httpx
import pytest

from tests.api.conftest import body
from tests.api.http.shipped import HEAD_SECONDS, PATIENCE, Server, drip, head, read_all, read_answer, server


@pytest.mark.parametrize(
    "part",
    [b"", b"\r\n", b"G", b"GET /healthz HTTP/1.1\r\n", b"GET /healthz HTTP/1.1\r\nHost: api\r\nX", head()[:-2]],
    ids=["nothing", "line ends", "letter", "line", "name", "all but the end"],
)
def test_half_a_head_is_cut(api: Server, part: bytes) -> None:
    with api.connect() as connection:
        connection.sendall(part)
        answer = read_all(connection)
    assert answer == b"" if part.strip() == b"" else answer.startswith(b"HTTP/1.1 408 ")
    assert not part.strip() or b"HEAD_TOO_SLOW" in answer


@pytest.mark.parametrize(
    "start", [b"", b"GET / HTTP/1.1\r\nX: ", head() + b"GET / HT"], ids=["ends", "header", "second"]
)
def test_a_dripping_head_is_cut(api: Server, start: bytes) -> None:
    done = threading.Event()
    with api.connect() as connection:
        connection.sendall(start)
        dripping = threading.Thread(target=drip, args=(connection, b"\r\n" if not start else b"a", done))
        dripping.start()
        read_all(connection)  # ends: the server has closed
        done.set()
        dripping.join()


def test_half_sent_requests_do_not_add_up(api: Server) -> None:
    with contextlib.ExitStack() as stack:
        connections = [stack.enter_context(api.connect()) for _ in range(900)]
        for connection in connections:
            connection.sendall(b"GET /v1/jobs HTTP/1.1\r\nHost: api\r\n")
        assert api.healthy()
        assert all(b"408" in read_all(connection) for connection in connections)


def test_an_idle_connection_outlives_the_time_for_a_head(api: Server) -> None:
    with api.connect() as connection:
        for pause in (0, 2.5 * HEAD_SECONDS):
            time.sleep(pause)
            connection.sendall(head())
            assert read_answer(connection)[0] == 200


def test_a_long_answer_is_not_cut_by_half_of_the_next_request(api: Server) -> None:
    with httpx.Client(base_url=api.url, headers={"Authorization": f"Bearer {api.key}"}, timeout=PATIENCE) as client:
        job = client.post("/v1/jobs", json=body(1)).json()["id"]
    with api.connect() as connection:
        wait = head(f"Authorization: Bearer {api.key}", path=f"/v1/jobs/{job}?wait={3 * HEAD_SECONDS}")
        connection.sendall(wait + b"GET /")
        assert read_answer(connection)[0] == 200


def test_the_body_of_an_answered_request_cannot_drip_for_ever(api: Server) -> None:
    done = threading.Event()
    with api.connect() as connection:
        connection.sendall(api.post_head(10**9, key="wrong"))
        dripping = threading.Thread(target=drip, args=(connection, b"a", done))
        dripping.start()
        assert b"401" in read_all(connection)
        done.set()
        dripping.join()


@pytest.fixture(scope="module")
def impatient(module_database: str, api: Server) -> Iterator[Server]:
    with server(module_database, api.engine, body_seconds="1") as running:
        yield running


@pytest.mark.parametrize("pieces", [0, 1, 1000], ids=["no body", "a byte", "dripping"])
def test_a_body_that_does_not_come(impatient: Server, pieces: int) -> None:
    done = threading.Event()
    with impatient.connect() as connection:
        connection.sendall(impatient.post_head(1000) + b" " * min(pieces, 1))
        dripping = threading.Thread(target=drip, args=(connection, b" ", done)) if pieces > 1 else None
        if dripping:
            dripping.start()
        status, problem = read_answer(connection)
        done.set()
    assert (status, problem["reason"]) == (408, "BODY_TOO_SLOW")
    if dripping:
        dripping.join()
