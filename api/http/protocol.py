"""uvicorn's HTTP/1.1 with limits on a request's head: its size, its number of headers, its time.

uvicorn's implementation on httptools has no limits. A header of 64 MB blocks its only thread for seconds, a million
headers take all memory, and a half-sent request stays open for ever. Its implementation on h11 only limits the size.
A connection is always in one of these states:

head       nothing or a part of a head has arrived; `head_seconds` for all of it
body       the application reads it, within its own deadline (api.http.bodies)
draining   the request is answered and the rest of its body is dropped; `head_seconds` for it
refused    answered here; what still arrives is dropped for `LINGER_SECONDS`, so that the answer gets through
"""

import asyncio
import json
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from api.errors import PROBLEM_JSON

MAX_HEAD_BYTES = 32 * 1024
MAX_HEADERS = 100
MAX_PIPELINED = 64
LINGER_SECONDS = 1.0


@dataclass(frozen=True)
class Limits:
    """`connections`: most open ones of the process. `head_seconds`: time for a request's head."""

    connections: int
    head_seconds: float


class _Refused(Exception):
    """Raised to stop the parser in the middle of a request."""


@dataclass(frozen=True)
class _Refusal:
    status: HTTPStatus
    reason: str
    detail: str

    def response(self) -> bytes:
        problem = {
            "type": f"urn:maskworks:problem:{self.reason.lower().replace('_', '-')}",
            "title": self.status.phrase,
            "status": self.status.value,
            "detail": self.detail,
            "instance": "",
            "reason": self.reason,
        }
        content = json.dumps(problem).encode()
        head = (
            f"HTTP/1.1 {self.status.value} {self.status.phrase}\r\nContent-Type: {PROBLEM_JSON}\r\n"
            f"Content-Length: {len(content)}\r\nConnection: close\r\n\r\n"
        )
        return head.encode() + content


_MALFORMED = _Refusal(HTTPStatus.BAD_REQUEST, "MALFORMED_HTTP", "the request is not valid HTTP/1.1 (RFC 9112)")
_TOO_LARGE = _Refusal(
    HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
    "HEAD_TOO_LARGE",
    f"a request may have {MAX_HEADERS} headers, and {MAX_HEAD_BYTES} bytes of request line and headers",
)
_TOO_SLOW = _Refusal(HTTPStatus.REQUEST_TIMEOUT, "HEAD_TOO_SLOW", "the request line and headers did not arrive in time")
_TOO_MANY = _Refusal(HTTPStatus.SERVICE_UNAVAILABLE, "TOO_MANY_CONNECTIONS", "too many connections: try again later")
_PIPELINED = _Refusal(
    HTTPStatus.TOO_MANY_REQUESTS, "TOO_MANY_PIPELINED", f"at most {MAX_PIPELINED} requests may wait on a connection"
)


class LimitedProtocol(HttpToolsProtocol):
    """One connection. `limited` makes the class with its limits."""

    limits: Limits

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._in_head = True
        self._begun = False
        self._refused = False
        self._refusal = _MALFORMED
        self._head_bytes = 0
        self._n_headers = 0
        self._unheard = 0  # bytes since the parser last reported the start of a request or a piece of a body
        self._heard = False
        self._timer: asyncio.TimerHandle | None = None
        self._closing = asyncio.Event()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        # For a client that has stopped reading: `close` would wait until it reads again, perhaps for ever.
        # `closing` is for an answer that would never end: the server waits for it before it stops.
        self.app_state = {**self.app_state, "abort": transport.abort, "closing": self._closing}
        if len(self.connections) > self.limits.connections:
            transport.write(_TOO_MANY.response())
            transport.close()
            self._refused = True
        self._start_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_timer()
        super().connection_lost(exc)

    def shutdown(self) -> None:
        self._closing.set()
        super().shutdown()

    def data_received(self, data: bytes) -> None:
        if self._refused:
            return
        if self._in_head:
            self._start_timer()
        self._heard = False
        super().data_received(data)
        self._unheard = 0 if self._heard else self._unheard + len(data)
        if self._unheard > MAX_HEAD_BYTES:
            self._refuse(_TOO_LARGE)

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._begun = self._heard = True
        self._head_bytes = self._n_headers = 0
        self._start_timer()

    def on_url(self, url: bytes) -> None:
        super().on_url(url)
        self._count(len(url))

    def on_header(self, name: bytes, value: bytes) -> None:
        """Trailers arrive here too, and count as headers."""
        self._n_headers += 1
        self._count(len(name) + len(value) + 4)
        super().on_header(name, value)

    def _count(self, n: int) -> None:
        self._head_bytes += n
        if self._head_bytes > MAX_HEAD_BYTES or self._n_headers > MAX_HEADERS:
            self._stop_parsing(_TOO_LARGE)

    def _stop_parsing(self, refusal: _Refusal) -> None:
        """The exception passes through the parser. uvicorn then calls `send_400_response`."""
        self._refusal = refusal
        raise _Refused(refusal.reason)

    def on_headers_complete(self) -> None:
        if len(self.pipeline) >= MAX_PIPELINED:
            self._stop_parsing(_PIPELINED)
        self._in_head = False
        self._stop_timer()
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._heard = True
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._in_head, self._begun = True, False
        self._stop_timer()
        super().on_message_complete()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if not self._in_head:
            self._start_timer()

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 - uvicorn has one text for all errors
        self._refuse(self._refusal)

    def _start_timer(self) -> None:
        if self._timer is None:
            self._timer = self.loop.call_later(self.limits.head_seconds, self._late)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _late(self) -> None:
        """An answer is never cut, because its client may have sent a part of the next request already."""
        self._timer = None
        if self._answering():
            self._start_timer()
        elif self._in_head and self._begun:
            self._refuse(_TOO_SLOW)
        else:
            self.transport.close()

    def _answering(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _refuse(self, refusal: _Refusal) -> None:
        if self._refused or self.transport.is_closing():
            return
        self._refused = True
        self._stop_timer()
        self._unset_keepalive_if_required()
        if self._answering():
            self.transport.close()
            return
        self.logger.warning("%s: %s", refusal.reason, refusal.detail)
        self.transport.write(refusal.response())
        self.loop.call_later(LINGER_SECONDS, self.transport.close)


def limited(limits: Limits) -> type[asyncio.Protocol]:
    """The protocol class for uvicorn's `http` option."""
    return type("LimitedProtocol", (LimitedProtocol,), {"limits": limits})
