"""Too many connections, and too many requests on one."""

import contextlib
import socket

from api.http.protocol import MAX_PIPELINED
from tests.api.http.shipped import Server, head, read_all, read_answer, server


def test_an_answer_waits_for_no_acknowledgement(api: Server) -> None:
    """Head and body are two packets. With Nagle's algorithm the body would come 40 ms later."""
    assert api.listener.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) == 1


def test_too_many_pipelined_requests(api: Server) -> None:
    with api.connect() as connection:
        connection.sendall(head() * (MAX_PIPELINED // 2) + head("Connection: close"))
        assert read_all(connection).count(b"HTTP/1.1 200 ") == MAX_PIPELINED // 2 + 1
    with api.connect() as connection:
        with contextlib.suppress(ConnectionError):
            connection.sendall(head() * 10_000)
        assert read_all(connection).count(b"HTTP/1.1 200 ") <= MAX_PIPELINED + 1
    assert api.healthy()


def test_more_connections_than_allowed(module_database: str, api: Server) -> None:
    with server(module_database, api.engine, max_connections="20", head_seconds="30") as few:
        with contextlib.ExitStack() as stack:
            held = [stack.enter_context(few.connect()) for _ in range(20)]
            held[-1].sendall(head())
            assert read_answer(held[-1])[0] == 200, "all twenty are accepted"
            with few.connect() as another:
                status, problem = read_answer(another)
                assert (status, problem["reason"]) == (503, "TOO_MANY_CONNECTIONS")
        assert few.healthy()
