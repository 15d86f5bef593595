"""GET over kept connections: sockets, a pool, and the parser of httptools; no redirects and no proxies.

urllib3 takes four times the Python a request, the standard library's client three times, most of it for what is not
used here. A body whose length the head does not say plainly is not read: the caller asks again by other means.
"""

import re
import socket
import ssl
import threading
from collections.abc import Mapping
from functools import cache
from typing import Final, NamedTuple, Self
from urllib.parse import urlsplit

from httptools import HttpParserError, HttpResponseParser

CONNECT_SECONDS: Final = 5.0
READ_SECONDS: Final = 30.0
_BLOCK: Final = 65_536
_LONGEST_HEAD: Final = 2 * _BLOCK
_NOT_IN_A_HEAD: Final = re.compile(r"[\x00-\x1f\x7f]")
"""Would let a value end its line, and say the next one."""


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
        connection = socket.create_connection((self.host, self.port), CONNECT_SECONDS)
        try:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self.tls:
                connection = _tls().wrap_socket(connection, server_hostname=self.host)
        except OSError:
            connection.close()
            raise
        connection.settimeout(READ_SECONDS)
        return connection


class _Head:
    """What httptools finds in the first blocks of an answer; the parser calls these methods by name. A second message
    in them is counted, and its content is none of ours."""

    def __init__(self) -> None:
        self.messages = 0
        self.complete = False
        self.closing = False
        self.length: int | None = None
        self.body = b""

    def on_message_begin(self) -> None:
        self.messages += 1

    def on_header(self, name: bytes, value: bytes) -> None:
        named = b"" if self.complete else name.lower()
        if named == b"content-length":  # one at most, and none beside an encoding: the parser sees to it
            self.length = int(value)
        elif named == b"connection":
            self.closing = b"close" in value.lower()

    def on_headers_complete(self) -> None:
        self.complete = True

    def on_body(self, body: bytes) -> None:
        if self.messages == 1:
            self.body += body


class Answer:
    """A status, and a body that waits on its connection, which is kept if it was read to its end. `length` is None
    where the head does not say it plainly: such a body is not for reading."""

    def __init__(
        self, connection: socket.socket, status: int, head: _Head, keep: bool, pool: "Connections", origin: Origin
    ) -> None:
        self._connection, self._pool, self._origin = connection, pool, origin
        self._body, self._keep = head.body, keep
        self._left = 0 if head.length is None else head.length - len(head.body)
        self.status = status
        self.length = head.length

    def read(self, most: int) -> bytes:
        """The body, or its first `most` bytes; once. Fewer where the connection ended early. Raises OSError."""
        if self.length is None:
            return b""
        blocks = [self._body]
        wanted = min(most, self.length) - len(self._body)
        while wanted > 0:
            block = self._connection.recv(min(wanted, 16 * _BLOCK))
            if not block:
                break
            blocks.append(block)
            wanted -= len(block)
            self._left -= len(block)
        return b"".join(blocks)[:most]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._keep and self._left == 0:
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
        """`headers` are all there are. Raises OSError. A kept connection that turns out to be closed costs a second
        try, on a new one."""
        request = _request(target, headers)
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
        head = _Head()
        parser = HttpResponseParser(head)
        try:
            connection.sendall(request)
            _read_head(connection, parser, head)
        except OSError:
            connection.close()
            raise
        # Bytes behind the answer belong to nothing that was asked: such a connection is not to be trusted.
        plain = head.length is not None and head.messages == 1
        keep = plain and not head.closing and parser.get_http_version() == "1.1"
        return Answer(connection, parser.get_status_code(), head, keep, self, origin)


def _request(target: str, headers: Mapping[str, str]) -> bytes:
    lines = [f"GET {target} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
    if " " in target or any(_NOT_IN_A_HEAD.search(line) for line in lines):
        raise ValueError(f"not to be put into a request: {lines!r:.200}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def _read_head(connection: socket.socket, parser: HttpResponseParser, head: _Head) -> None:
    """Feed the parser until the head is there, and with it the body's first bytes. Raises OSError."""
    left = _LONGEST_HEAD
    while not head.complete:
        block = connection.recv(min(_BLOCK, left))
        if not block:
            raise ConnectionResetError("closed before it answered" if left else "its head has no end")
        left -= len(block)
        try:
            parser.feed_data(block)
        except HttpParserError as error:
            raise OSError(f"not an HTTP/1.1 answer: {error}") from error
    if parser.get_status_code() < 200:
        raise OSError(f"an interim answer, {parser.get_status_code()}, to a plain GET")


@cache
def _tls() -> ssl.SSLContext:
    """Once a process: reading the system's certificates takes 20 ms."""
    context = ssl.create_default_context()
    context.set_alpn_protocols(["http/1.1"])
    return context
