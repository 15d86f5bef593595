"""GET over kept connections: the standard library's HTTP client with a pool around it, no redirects and no proxies.

urllib3 takes twice the Python a request, most of it objects for what is not used here. A body whose length the head
does not say plainly is not read: the caller asks again by other means.
"""

import ssl
import threading
from collections.abc import Mapping
from functools import cache
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from typing import Final, NamedTuple, Self
from urllib.parse import urlsplit

CONNECT_SECONDS: Final = 5.0
READ_SECONDS: Final = 30.0


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

    def connect(self) -> HTTPConnection:
        if self.tls:
            connection: HTTPConnection = HTTPSConnection(self.host, self.port, timeout=CONNECT_SECONDS, context=_tls())
        else:
            connection = HTTPConnection(self.host, self.port, timeout=CONNECT_SECONDS)
        connection.connect()
        connection.sock.settimeout(READ_SECONDS)
        return connection


class Answer:
    """A status, and a body that waits on its connection, which is kept if it was read to its end. `length` is None
    where the head does not say it plainly: such a body is not for reading."""

    def __init__(self, response: HTTPResponse, connection: HTTPConnection, pool: "Connections", origin: Origin) -> None:
        self._response, self._connection, self._pool, self._origin = response, connection, pool, origin
        self.status = response.status
        self.length = None if response.chunked else response.length

    def read(self, most: int) -> bytes:
        """The body, or its first `most` bytes; fewer where the connection ended early. Raises OSError."""
        return self._response.read(most) if self.length else b""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.length == 0:
            self._response.read()
        if self._response.isclosed() and not self._response.will_close:
            self._pool.keep(self._origin, self._connection)
        else:
            self._response.close()
            self._connection.close()


class Connections:
    """At most `most` idle connections, whoever they lead to. Thread-safe."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._lock = threading.Lock()
        self._idle: list[tuple[Origin, HTTPConnection]] = []

    def get(self, origin: Origin, target: str, headers: Mapping[str, str]) -> Answer:
        """`headers` are all there are. Raises OSError. A kept connection that turns out to be closed costs a second
        try, on a new one."""
        kept = self._take(origin)
        if kept is not None:
            try:
                return self._ask(kept, origin, target, headers)
            except (ConnectionError, ssl.SSLError):
                pass
        return self._ask(origin.connect(), origin, target, headers)

    def keep(self, origin: Origin, connection: HTTPConnection) -> None:
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

    def _take(self, origin: Origin) -> HTTPConnection | None:
        with self._lock:
            for place in range(len(self._idle) - 1, -1, -1):
                if self._idle[place][0] == origin:
                    return self._idle.pop(place)[1]
        return None

    def _ask(self, connection: HTTPConnection, origin: Origin, target: str, headers: Mapping[str, str]) -> Answer:
        try:
            connection.putrequest("GET", target, skip_host=True, skip_accept_encoding=True)
            for name, value in headers.items():
                connection.putheader(name, value)
            connection.endheaders()
            return Answer(connection.getresponse(), connection, self, origin)
        except OSError:
            connection.close()
            raise
        except HTTPException as error:
            connection.close()
            raise OSError(f"not an HTTP/1.1 answer: {error!r}") from error


@cache
def _tls() -> ssl.SSLContext:
    """Once a process: reading the system's certificates takes 20 ms."""
    return ssl.create_default_context()
