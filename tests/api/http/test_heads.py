"""Heads that are too large, hidden in a body, or no HTTP."""

import contextlib

import pytest

from api.http.protocol import MAX_HEAD_BYTES, MAX_HEADERS
from tests.api.http.shipped import MIB, Server, head, read_all


def test_heads_that_are_just_small_enough(api: Server) -> None:
    assert api.send(head("X: " + "a" * (MAX_HEAD_BYTES - 200)))[0] == 200
    assert api.send(head(*[f"X-{i}: 1" for i in range(MAX_HEADERS - 1)]))[0] == 200


@pytest.mark.parametrize(
    "content",
    [
        head("X: " + "a" * MAX_HEAD_BYTES),
        head(*[f"X-{i}: 1" for i in range(MAX_HEADERS)]),
        head(path="/" + "a" * MAX_HEAD_BYTES),
        head(*[f"X-{i}: " + "a" * 1000 for i in range(40)]),
        head("a" * MAX_HEAD_BYTES + ": x"),
        b"GET /" + b"a" * 64 * MIB,
        b"GET /healthz HTTP/1.1\r\nHost: api\r\nX: " + b"a" * 64 * MIB,
        b"GET /healthz HTTP/1.1\r\nHost: api\r\n" + b"X: 1\r\n" * 4_000_000,
    ],
    ids=["value", "count", "url", "sum", "name", "url 64 MB", "value 64 MB", "4 million"],
)
def test_a_head_that_is_too_large(api: Server, content: bytes) -> None:
    before = api.peak_mib()
    status, problem = api.send(content)
    assert (status, problem["reason"]) == (431, "HEAD_TOO_LARGE")
    assert api.healthy() and api.peak_mib() < before + 16


@pytest.mark.parametrize(
    "tail",
    [
        b"0\r\n" + b"X: 1\r\n" * 4_000_000,
        b"0\r\nX: " + b"a" * 64 * MIB,
        b"1;" + b"a" * 64 * MIB,
        b"0" * MIB,
    ],
    ids=["many trailers", "long trailer", "chunk extension", "chunk size"],
)
@pytest.mark.parametrize("answered", [True, False])
def test_a_chunked_body_hides_no_head(api: Server, tail: bytes, answered: bool) -> None:
    """Whether the request is answered before its body ends, or waits for it."""
    before = api.peak_mib()
    start = api.post_head(None, "Transfer-Encoding: chunked", key="wrong" if answered else api.key)
    with api.connect() as connection:
        with contextlib.suppress(ConnectionError):
            connection.sendall(start + tail)
        read_all(connection)  # closed by the server
    assert api.healthy() and api.peak_mib() < before + 16


@pytest.mark.parametrize("content", [b"\x16\x03\x01\x02\x00", b"HELLO\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n"])
def test_what_is_no_http(api: Server, content: bytes) -> None:
    status, problem = api.send(content)
    assert (status, problem["reason"]) == (400, "MALFORMED_HTTP")
    assert set(problem) == {"type", "title", "status", "detail", "instance", "reason"}
