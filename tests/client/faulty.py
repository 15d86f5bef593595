"""A proxy in front of the API that misbehaves at random: it loses requests and answers, refuses, and repeats events."""

import http.client
import random
import socket
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

KINDS = ("lost request", "lost answer", "cut answer", "429", "503")
"""What may befall a request. A lost answer is the dangerous one: the server has done what it was asked."""


class FaultyAPI:
    """Forwards to `target`; `share` of all requests meet a fault. Each event comes twice."""

    def __init__(self, target: str, share: float, seed: int) -> None:
        self.happened: Counter[str] = Counter()
        self._target, self._share = urlsplit(target).netloc, share
        self._random, self._lock = random.Random(seed), threading.Lock()
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_request(self) -> None:
                with suppress(OSError, http.client.HTTPException):
                    proxy.serve(self)

            do_GET = do_POST = do_DELETE = handle_request

            def log_message(self, format: str, *args: Any) -> None:
                """Tests have logs enough."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def serve(self, request: BaseHTTPRequestHandler) -> None:
        body = request.rfile.read(int(request.headers.get("Content-Length") or 0))
        fault = self._fault()
        if fault == "lost request":
            hang_up(request)
        elif fault in ("429", "503"):
            answer(request, int(fault))
        else:
            self._forward(request, body, fault)

    def _fault(self) -> str | None:
        with self._lock:
            if self._random.random() > self._share:
                return None
            fault = self._random.choice(KINDS)
            self.happened[fault] += 1
            return fault

    def _forward(self, request: BaseHTTPRequestHandler, body: bytes, fault: str | None) -> None:
        upstream = http.client.HTTPConnection(self._target, timeout=90)
        try:
            headers = {k: v for k, v in request.headers.items() if k.lower() not in ("host", "connection")}
            upstream.request(request.command, request.path, body=body or None, headers=headers)
            answered = upstream.getresponse()
            if "event-stream" in answered.headers.get("Content-Type", ""):
                self._events(request, answered, cut=fault is not None)
                return
            content = answered.read()
            if fault == "lost answer":
                hang_up(request)
                return
            relay(request, answered, content, cut=fault == "cut answer")
        finally:
            upstream.close()

    def _events(self, request: BaseHTTPRequestHandler, answered: http.client.HTTPResponse, cut: bool) -> None:
        """Every event twice. A cut stream ends after the first."""
        request.send_response_only(200)
        request.send_header("Content-Type", "text/event-stream")
        request.send_header("Connection", "close")
        request.end_headers()
        block = b""
        while line := answered.readline():
            block += line
            if line == b"\n":
                request.wfile.write(block * 2)
                if cut and b"data:" in block:
                    break
                block = b""
        hang_up(request)


def hang_up(request: BaseHTTPRequestHandler) -> None:
    request.close_connection = True
    request.connection.shutdown(socket.SHUT_RDWR)


def answer(request: BaseHTTPRequestHandler, status: int) -> None:
    request.send_response_only(status)
    request.send_header("Retry-After", "0")
    request.send_header("Content-Length", "0")
    request.end_headers()


def relay(request: BaseHTTPRequestHandler, answered: http.client.HTTPResponse, content: bytes, cut: bool) -> None:
    request.send_response_only(answered.status)
    for name, value in answered.getheaders():
        if name.lower() not in ("content-length", "transfer-encoding", "connection"):
            request.send_header(name, value)
    request.send_header("Content-Length", str(len(content)))
    request.end_headers()
    request.wfile.write(content[: len(content) // 2] if cut else content)
    if cut:
        hang_up(request)


@contextmanager
def faulty(target: str, share: float, seed: int = 7) -> Iterator[FaultyAPI]:
    proxy = FaultyAPI(target, share, seed)
    try:
        yield proxy
    finally:
        proxy.close()
