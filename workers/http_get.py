"""GET over kept connections, as little of HTTP/1.1 as an object store needs: no redirects, no chunked bodies.

urllib3 takes 0.35 ms of Python a request, most of it objects for what is not used here; this takes a fifth. Whatever is
not plain (no length, an odd head) is said to be so, and the caller asks again by other means.
"""

import socket
import ssl
import threading
from collections.abc import Mapping
from functools import cache
from typing import Final, NamedTuple, Self
from urllib.parse import urlsplit

CONNECT_SECONDS: Final = 5.0
READ_SECONDS: Final = 30.0
_RECEIVE: Final = 65_536
_MAX_HEAD: Final = 65_536


class Origin(NamedTuple):
    """Who answers: what one connection leads to."""

    tls: bool
    host: str
    port: int

    @classmethod
    def of(cls, url: str) -> Self:
        parts = urlsplit(url)
        tls = parts.scheme == "https"
        return cls(tls, parts.hostname or "", parts.port or (443 if tls else 80))

    def connect(self) -> socket.socket:
        plain = socket.create_connection((self.host, self.port), CONNECT_SECONDS)
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        plain.settimeout(READ_SECONDS)
        return _tls().wrap_socket(plain, server_hostname=self.host) if self.tls else plain


class Answer:
    """A status, and a body that waits on its connection, which is kept if it was read to its end. `length` is None
    where the head does not say it plainly: such a body is not for reading."""

    def __init__(
        self, connection: socket.socket, head: bytes, rest: bytes, pool: "Connections", origin: Origin
    ) -> None:
        self._connection, self._pool, self._origin = connection, pool, origin
        self._rest = rest
        self._clean = False
        self.status, self.length, self._may_be_kept = _parse(head)

    def read(self, most: int) -> bytes:
        """The body, or its first `most` bytes; fewer where the connection ended early."""
        length = self.length or 0
        wanted = min(most, length)
        data = self._rest[:wanted]
        if len(data) < wanted:
            data = self._receive(data, wanted)
        self._clean = len(data) == length and len(self._rest) <= length
        return data

    def _receive(self, begun: bytes, wanted: int) -> bytes:
        data = bytearray(wanted)
        got = len(begun)
        data[:got] = begun
        with memoryview(data) as view:
            while got < wanted and (more := self._connection.recv_into(view[got:])):
                got += more
        return bytes(data[:got])

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._clean and self._may_be_kept:
            self._pool.keep(self._origin, self._connection)
        else:
            self._connection.close()


class Connections:
    """At most `most` idle connections, whoever they lead to. Thread-safe."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._lock = threading.Lock()
        self._idle: list[tuple[Origin, socket.socket]] = []

    def get(self, origin: Origin, target: str, headers: Mapping[str, str]) -> Answer:
        """Raises OSError. A kept connection that turns out to be closed costs a second try, on a new one."""
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        request = f"GET {target} HTTP/1.1\r\n{lines}\r\n".encode("ascii")
        kept = self._take(origin)
        if kept is not None:
            try:
                return self._ask(kept, origin, request)
            except (ConnectionError, ssl.SSLError):
                pass
        return self._ask(origin.connect(), origin, request)

    def keep(self, origin: Origin, connection: socket.socket) -> None:
        with self._lock:
            self._idle.append((origin, connection))
            oldest = self._idle.pop(0)[1] if len(self._idle) > self._most else None
        if oldest is not None:
            oldest.close()

    def close(self) -> None:
        """Let go of what is idle; a connection in use closes or comes back by itself."""
        with self._lock:
            idle, self._idle = self._idle, []
        for _, connection in idle:
            connection.close()

    def _take(self, origin: Origin) -> socket.socket | None:
        with self._lock:
            for place in range(len(self._idle) - 1, -1, -1):
                if self._idle[place][0] == origin:
                    return self._idle.pop(place)[1]
        return None

    def _ask(self, connection: socket.socket, origin: Origin, request: bytes) -> Answer:
        try:
            connection.sendall(request)
            head, rest = _head(connection)
            return Answer(connection, head, rest, self, origin)
        except BaseException:
            connection.close()
            raise


def _head(connection: socket.socket) -> tuple[bytes, bytes]:
    """Status line and headers, and what came of the body with them: with a small object, all of it."""
    received = b""
    while (end := received.find(b"\r\n\r\n")) < 0:
        more = connection.recv(_RECEIVE)
        if not more:
            raise ConnectionResetError(f"the connection ended after {len(received)} bytes of an answer's head")
        received += more
        if len(received) > 2 * _MAX_HEAD:
            raise OSError("the answer's head has no end")
    return received[:end], received[end + 4 :]


def _parse(head: bytes) -> tuple[int, int | None, bool]:
    """Status, the body's length where it is plain, and whether the server keeps the connection."""
    first, *lines = head.split(b"\r\n")
    words = first.split(b" ", 2)
    if len(words) < 2 or not words[0].startswith(b"HTTP/1.") or not words[1].isdigit():
        raise OSError(f"not an HTTP/1.1 answer: {first[:60]!r}")
    fields = {name.lower(): value.strip() for name, _, value in (line.partition(b":") for line in lines)}
    length = fields.get(b"content-length", b"")
    plain = length.isdigit() and b"transfer-encoding" not in fields
    kept = words[0] == b"HTTP/1.1" and fields.get(b"connection", b"").lower() != b"close"
    return int(words[1]), int(length) if plain else None, kept


@cache
def _tls() -> ssl.SSLContext:
    """Once a process: reading the system's certificates takes 20 ms."""
    return ssl.create_default_context()
