"""An HTTP server that speaks just enough S3 to misbehave: a handler answers each GET by writing whatever it wants."""

import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from workers.settings import Settings

Answer = Callable[[socket.socket, str], None]
"""Gets the connection and the request's head. The connection is closed after it."""

_ERROR = '<?xml version="1.0"?><Error><Code>{code}</Code><Message>made by a test</Message></Error>'


class HostileS3:
    """Every request is answered by `answer`. `heads` are the requests so far, `open` the connections being answered."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self.answer: Answer = lambda connection, _head: send(connection, b"x")
        self.heads: list[str] = []
        self.open = 0
        self._tls = tls
        self._lock = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0))
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def close(self) -> None:
        self._listener.close()

    def asked(self, part: str) -> int:
        return sum(part in head.split("\r\n", 1)[0] for head in self.heads)

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _secured(self, connection: socket.socket) -> socket.socket:
        return connection if self._tls is None else self._tls.wrap_socket(connection, server_side=True)

    def _serve(self, connection: socket.socket) -> None:
        with suppress(OSError), self._secured(connection) as connection:  # a client that hangs up is what is tested
            head = connection.recv(65536).decode()
            with self._lock:
                self.heads.append(head)
                self.open += 1
            try:
                self.answer(connection, head)
            finally:
                with self._lock:
                    self.open -= 1


def send(
    connection: socket.socket, body: bytes, *headers: str, status: str = "200 OK", length: int | None = None
) -> None:
    """A whole answer; `length` is what the head claims."""
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body) if length is None else length}", *headers]
    connection.sendall("\r\n".join([*lines, "Connection: close", "", ""]).encode() + body)


def send_error(connection: socket.socket, status: str, code: str, *headers: str) -> None:
    send(connection, _ERROR.format(code=code).encode(), "Content-Type: application/xml", *headers, status=status)


def send_chunked(connection: socket.socket, body: bytes, piece: int = 1000, end: bool = True) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    for start in range(0, len(body), piece):
        part = body[start : start + piece]
        connection.sendall(b"%x\r\n%s\r\n" % (len(part), part))
    if end:
        connection.sendall(b"0\r\n\r\n")


def drip(connection: socket.socket, _head: str = "") -> None:
    """A head at once, then a byte every tenth of a second, for longer than any test lasts."""
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 4000\r\n\r\n")
    _drip(connection)


def drip_head(connection: socket.socket, _head: str = "") -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\nX-Slow: ")
    _drip(connection)


def _drip(connection: socket.socket) -> None:
    for _ in range(3000):
        connection.sendall(b"x")
        time.sleep(0.1)


def reading_from(server: HostileS3, **changes: object) -> Settings:
    """Settings of a worker that reads buckets of this server, without a database."""
    given = {"s3_endpoint_url": server.url, "s3_access_key": "key", "s3_secret_key": "secret", "s3_region": "us-east-1"}
    nowhere = Settings(database_url="postgresql+psycopg://nobody@127.0.0.1/none", redis_url="redis://127.0.0.1/0")
    return nowhere.model_copy(update=given | {"buckets": ("b",)} | changes)


@contextmanager
def hostile_s3(tls: ssl.SSLContext | None = None) -> Iterator[HostileS3]:
    server = HostileS3(tls)
    try:
        yield server
    finally:
        server.close()
