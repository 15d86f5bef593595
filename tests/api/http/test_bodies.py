"""The memory that the bodies of all requests take together."""

import contextlib
import json
import select
import time
from collections.abc import Iterator

import httpx
import pytest

from tests.api.conftest import body, new_tenant
from tests.api.http.shipped import MIB, PATIENCE, Server, read_answer, server


@pytest.fixture
def narrow(module_database: str, api: Server) -> Iterator[Server]:
    """Room for two bodies, of one tenant for one."""
    limits = {"max_body_bytes": str(MIB), "max_body_bytes_total": str(2 * MIB), "body_seconds": "600"}
    with server(module_database, api.engine, **limits) as running:
        yield running


@pytest.mark.parametrize(("n_tenants", "at_most"), [(6, 2), (1, 1)], ids=["all together", "of one tenant"])
def test_the_bodies_of_all_requests_have_a_bound(narrow: Server, n_tenants: int, at_most: int) -> None:
    """Six bodies stop short of their ends. Those for which there is no room are refused, and only those wait."""
    keys = [new_tenant(narrow.engine)[1] for _ in range(n_tenants)]
    part = b" " * (900 * 1024)
    with contextlib.ExitStack() as stack:
        waiting = [stack.enter_context(narrow.connect()) for _ in range(6)]
        for i, connection in enumerate(waiting):
            connection.sendall(narrow.post_head(MIB, key=keys[i % n_tenants]) + part)
        until = time.monotonic() + PATIENCE
        while len(waiting) > at_most and time.monotonic() < until:
            for connection in select.select(waiting, [], [], 1)[0]:
                status, problem = read_answer(connection)
                assert (status, problem["reason"]) == (503, "OVERLOADED")
                waiting.remove(connection)
        assert 0 < len(waiting) <= at_most
    content = json.dumps(body(1)).encode() + part
    headers = {"Authorization": f"Bearer {keys[0]}", "Content-Type": "application/json"}
    until = time.monotonic() + PATIENCE
    while (answer := httpx.post(f"{narrow.url}/v1/jobs", content=content, headers=headers)).status_code != 202:
        assert (answer.status_code, "retry-after" in answer.headers) == (503, True)
        assert time.monotonic() < until, "the room of clients that have gone was never given back"


def test_large_bodies_side_by_side_keep_memory_in_bounds(module_database: str, api: Server) -> None:
    """Thirty open bodies of 31 MB: they have all been sent, or refused."""
    with server(module_database, api.engine, body_seconds="30", head_seconds="10") as running:
        before = running.peak_mib()
        part = b" " * (31 * MIB)
        with contextlib.ExitStack() as stack:
            answered = 0
            for _ in range(30):
                connection = stack.enter_context(running.connect())
                with contextlib.suppress(ConnectionError):
                    connection.sendall(running.post_head(32 * MIB) + part)
                connection.setblocking(False)
                with contextlib.suppress(BlockingIOError, ConnectionError):
                    answered += connection.recv(16).startswith(b"HTTP/1.1 503")
                connection.setblocking(True)
            assert answered >= 20
            assert running.healthy()
            assert running.peak_mib() < before + 160
