"""The shipped server over raw sockets: heads, bodies and connections that are too large, too many or too slow.

Times here are waited for, with bounds far beyond them: no test fails because a machine is slow.
"""

import contextlib
import gzip
import json
import os
import re
import select
import socket
import subprocess
import sys
import threading
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import Engine

from api.http.protocol import MAX_HEAD_BYTES, MAX_HEADERS, MAX_PIPELINED
from db.engine import sync_engine
from tests.api.conftest import PEPPER, body, new_tenant

PATIENCE = 60.0
HEAD_SECONDS = 1.0
MIB = 2**20


@dataclass
class Server:
    port: int
    key: str
    process: "subprocess.Popen[str]"
    engine: Engine

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE)

    def post_head(self, length: int | None, *more: str, key: str | None = None) -> bytes:
        lines = ["POST /v1/jobs HTTP/1.1", "Host: api", f"Authorization: Bearer {key or self.key}",
                 "Content-Type: application/json", *more]  # fmt: skip
        lines += [] if length is None else [f"Content-Length: {length}"]
        return "\r\n".join([*lines, "", ""]).encode()

    def send(self, content: bytes) -> tuple[int, dict[str, Any]]:
        with self.connect() as connection:
            with contextlib.suppress(ConnectionError):  # refused amid what is sent: the answer is there
                connection.sendall(content)
            return read_answer(connection)

    def peak_mib(self) -> float:
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        found = re.search(r"VmHWM:\s+(\d+) kB", status)
        assert found
        return int(found[1]) / 1024

    def healthy(self) -> bool:
        return httpx.get(f"{self.url}/healthz", timeout=PATIENCE).status_code == 200


def read_all(connection: socket.socket) -> bytes:
    """Until the server closes, in whatever way."""
    content = b""
    with contextlib.suppress(ConnectionError):
        while block := connection.recv(65536):
            content += block
    return content


def read_answer(connection: socket.socket) -> tuple[int, dict[str, Any]]:
    """The first answer: its status and its JSON."""
    content = b""
    while b"\r\n\r\n" not in content:
        block = connection.recv(65536)
        assert block, content
        content += block
    head, _, rest = content.partition(b"\r\n\r\n")
    length = int(re.search(rb"(?i)content-length: (\d+)", head)[1])  # type: ignore[index]
    while len(rest) < length:
        rest += connection.recv(65536)
    return int(head.split()[1]), json.loads(rest[:length])


@contextmanager
def server(database: str, engine: Engine, **settings: str) -> Iterator[Server]:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(1024)
        words = [sys.executable, "-m", "api.server", "--fd", str(listener.fileno()), "--shutdown-seconds", "2"]
        env = {
            **{name: value for name, value in os.environ.items() if not name.startswith("MASKWORKS_")},
            "MASKWORKS_DATABASE_URL": database,
            "MASKWORKS_KEY_PEPPER": PEPPER,
            "MASKWORKS_HEAD_SECONDS": str(HEAD_SECONDS),
            **{f"MASKWORKS_{name.upper()}": value for name, value in settings.items()},
        }
        process = subprocess.Popen(
            words, env=env, pass_fds=[listener.fileno()], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        )
        log: list[str] = []
        assert process.stderr
        reader = threading.Thread(target=log.extend, args=(process.stderr,), daemon=True)
        reader.start()
        try:
            running = Server(listener.getsockname()[1], new_tenant(engine)[1], process, engine)
            assert running.healthy()
            yield running
            assert process.poll() is None
            process.terminate()
            process.wait(PATIENCE)
            reader.join(PATIENCE)
            assert "Traceback" not in "".join(log), "".join(log)
        finally:
            process.kill()
            process.wait()
            reader.join(PATIENCE)
            process.stderr.close()


@pytest.fixture(scope="module")
def api(module_database: str) -> Iterator[Server]:
    engine = sync_engine(module_database)
    with server(module_database, engine) as running:
        yield running
    engine.dispose()


def head(*headers: str, path: str = "/healthz") -> bytes:
    return "\r\n".join([f"GET {path} HTTP/1.1", "Host: api", *headers, "", ""]).encode()


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


def drip(connection: socket.socket, piece: bytes, until: threading.Event) -> None:
    with contextlib.suppress(OSError):  # cut, as it should be
        while not until.wait(0.1):
            connection.sendall(piece)


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


def test_too_many_pipelined_requests(api: Server) -> None:
    with api.connect() as connection:
        connection.sendall(head() * (MAX_PIPELINED // 2) + head("Connection: close"))
        assert read_all(connection).count(b"HTTP/1.1 200 ") == MAX_PIPELINED // 2 + 1
    with api.connect() as connection:
        with contextlib.suppress(ConnectionError):
            connection.sendall(head() * 10_000)
        assert read_all(connection).count(b"HTTP/1.1 200 ") <= MAX_PIPELINED + 1
    assert api.healthy()


@pytest.mark.parametrize("content", [b"\x16\x03\x01\x02\x00", b"HELLO\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n"])
def test_what_is_no_http(api: Server, content: bytes) -> None:
    status, problem = api.send(content)
    assert (status, problem["reason"]) == (400, "MALFORMED_HTTP")
    assert set(problem) == {"type", "title", "status", "detail", "instance", "reason"}


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


@pytest.fixture(scope="module")
def impatient(module_database: str, api: Server) -> Iterator[Server]:
    with server(module_database, api.engine, body_seconds="1") as running:
        yield running


@pytest.fixture
def narrow(module_database: str, api: Server) -> Iterator[Server]:
    """Room for two bodies, of one tenant for one."""
    limits = {"max_body_bytes": str(MIB), "max_body_bytes_total": str(2 * MIB), "body_seconds": "600"}
    with server(module_database, api.engine, **limits) as running:
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


def gzipped(api: Server, content: bytes, coding: str = "gzip") -> httpx.Response:
    headers = {
        "Authorization": f"Bearer {api.key}", "Content-Type": "application/json", "Content-Encoding": coding,
    }  # fmt: skip
    return httpx.post(f"{api.url}/v1/jobs", content=content, headers=headers, timeout=PATIENCE)


@pytest.mark.parametrize("coding", ["gzip", "GZIP", "x-gzip"])
def test_a_gzipped_body(api: Server, coding: str) -> None:
    answer = gzipped(api, gzip.compress(json.dumps(body(1000)).encode()), coding)
    assert (answer.status_code, answer.json()["counts"]["total"]) == (202, 1000)


def test_gzipped_and_plain_are_one_body(api: Server) -> None:
    """An Idempotency-Key holds over both: it is the content that counts."""
    plain = json.dumps(body(2)).encode()
    headers = {"Authorization": f"Bearer {api.key}", "Content-Type": "application/json", "Idempotency-Key": "both"}
    first = httpx.post(f"{api.url}/v1/jobs", content=plain, headers=headers)
    headers["Content-Encoding"] = "gzip"
    second = httpx.post(f"{api.url}/v1/jobs", content=gzip.compress(plain), headers=headers)
    assert first.status_code == second.status_code == 202 and first.json()["id"] == second.json()["id"]


def test_a_gzip_bomb_is_not_unpacked(api: Server) -> None:
    before = api.peak_mib()
    bomb = zlib.compressobj(9, wbits=31)
    content = b"".join(bomb.compress(b" " * MIB) for _ in range(4096)) + bomb.flush()
    answer = gzipped(api, content)
    assert (answer.status_code, answer.json()["reason"]) == (413, "BODY_TOO_LARGE")
    assert api.peak_mib() < before + 80


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda whole: whole[:-1], "too early"),
        (lambda whole: whole[: len(whole) // 2], "too early"),
        (lambda _: b"", "too early"),
        (lambda whole: whole + b"x", "behind its gzip stream"),
        (lambda whole: whole + whole, "behind its gzip stream"),
        (lambda whole: whole[:-8] + b"\0" * 8, "not a gzip stream"),
        (lambda _: b"{}", "not a gzip stream"),
    ],
)
def test_a_gzip_stream_that_is_not_whole(api: Server, change: Any, text: str) -> None:
    answer = gzipped(api, change(gzip.compress(json.dumps(body(50)).encode())))
    assert (answer.status_code, answer.json()["reason"]) == (422, "INVALID_REQUEST")
    assert text in answer.json()["detail"]


@pytest.mark.parametrize("coding", ["br", "deflate", "zstd", "gzip, gzip", "identity, br", "compress", "x"])
def test_other_encodings(api: Server, coding: str) -> None:
    answer = gzipped(api, b"{}", coding)
    assert (answer.status_code, answer.json()["reason"]) == (415, "UNSUPPORTED_ENCODING")
    assert answer.headers["accept-encoding"] == "gzip"


def test_many_values_are_refused_before_they_take_memory(api: Server) -> None:
    before = api.peak_mib()
    answer = gzipped(api, gzip.compress(b'{"input":{"items":[' + b"{}," * (10 * MIB) + b"{}]}}"))
    assert (answer.status_code, answer.json()["reason"]) == (413, "BODY_TOO_LARGE")
    assert "JSON values" in answer.json()["detail"]
    assert api.peak_mib() < before + 110
