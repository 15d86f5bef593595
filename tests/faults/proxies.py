"""Small proxies that misbehave on demand: one in front of S3 (by key), one in front of Postgres (by COMMIT)."""

import http.client
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

_ERROR = '<?xml version="1.0"?><Error><Code>{code}</Code><Message>made by a test</Message></Error>'
_CODES = {403: "AccessDenied", 404: "NoSuchKey", 500: "InternalError", 503: "SlowDown"}


@dataclass
class Fault:
    """What happens to requests whose path contains `part`, `times` times (None: for ever)."""

    part: str
    kind: str  # "403", "404", "500", "503", "slow", "drip" (a byte every 3 s), "truncated", "reset"
    times: int | None = None
    seconds: float = 0.0


class _Server(ThreadingHTTPServer):
    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hung up is what is tested, no news; anything else is."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class S3Proxy:
    """Forwards signed requests as they are (the Host header is part of the signature), but for the faults."""

    def __init__(self) -> None:
        self.target = ""
        self.faults: list[Fault] = []
        self.hits = 0
        self.dripping = 0
        self._lock = threading.Lock()
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_request(self) -> None:
                proxy.serve(self)

            do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = handle_request

            def log_message(self, format: str, *args: Any) -> None:
                """Tests have logs enough."""

        self._server = _Server(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def take(self, path: str) -> Fault | None:
        with self._lock:
            for fault in self.faults:
                if fault.part in path and fault.times != 0:
                    self.hits += 1
                    fault.times = None if fault.times is None else fault.times - 1
                    return fault
        return None

    def serve(self, request: BaseHTTPRequestHandler) -> None:
        fault = self.take(request.path)
        if fault is not None and fault.kind.isdigit():
            self._answer(request, int(fault.kind), _ERROR.format(code=_CODES[int(fault.kind)]).encode())
        elif fault is not None and fault.kind == "reset":
            request.close_connection = True
        elif fault is not None and fault.kind == "drip":
            self._drip(request)
        else:
            if fault is not None and fault.kind == "slow":
                time.sleep(fault.seconds)
            self._forward(request, cut=fault is not None and fault.kind == "truncated")

    def _answer(self, request: BaseHTTPRequestHandler, status: int, body: bytes) -> None:
        request.send_response(status)
        request.send_header("Content-Type", "application/xml")
        request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        if request.command != "HEAD":
            request.wfile.write(body)

    def _drip(self, request: BaseHTTPRequestHandler) -> None:
        request.close_connection = True
        request.send_response(200)
        request.send_header("Content-Length", "1000")
        request.end_headers()
        with self._lock:
            self.dripping += 1
        try:
            while True:
                request.wfile.write(b"x")
                time.sleep(3)
        except OSError:  # the reader has left
            pass
        finally:
            with self._lock:
                self.dripping -= 1

    def _forward(self, request: BaseHTTPRequestHandler, cut: bool) -> None:
        length = int(request.headers.get("Content-Length") or 0)
        body = request.rfile.read(length) if length else None
        upstream = http.client.HTTPConnection(urlsplit(self.target).netloc, timeout=30)
        try:
            upstream.request(request.command, request.path, body=body, headers=dict(request.headers.items()))
            answer = upstream.getresponse()
            content = answer.read()
        except OSError:
            request.close_connection = True
            return
        finally:
            upstream.close()
        with suppress(OSError):
            self._relay(request, answer, content, cut)

    def _relay(
        self, request: BaseHTTPRequestHandler, answer: http.client.HTTPResponse, content: bytes, cut: bool
    ) -> None:
        request.send_response_only(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in ("content-length", "transfer-encoding", "connection"):
                request.send_header(name, value)
        length = answer.headers.get("Content-Length") if request.command == "HEAD" else None
        request.send_header("Content-Length", length or str(len(content)))
        request.end_headers()
        if request.command != "HEAD":
            request.wfile.write(content[: len(content) // 2] if cut else content)
        if cut:
            request.close_connection = True


@contextmanager
def s3_proxy() -> Iterator[S3Proxy]:
    proxy = S3Proxy()
    try:
        yield proxy
    finally:
        proxy.close()


class PostgresProxy:
    """Forwards everything. Once `drop` is positive, a COMMIT reaches the server and its answer reaches nobody."""

    def __init__(self, host: str, port: int) -> None:
        self._target = (host, port)
        self.drop = 0
        self.dropped = 0
        self._lock = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0))
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def port(self) -> int:
        return int(self._listener.getsockname()[1])

    def close(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            try:
                server = socket.create_connection(self._target, timeout=5)
            except OSError:
                client.close()
                continue
            server.settimeout(None)
            threading.Thread(target=self._to_server, args=(client, server), daemon=True).start()
            threading.Thread(target=_pump, args=(server, client), daemon=True).start()

    def _to_server(self, client: socket.socket, server: socket.socket) -> None:
        with suppress(OSError):
            while data := client.recv(65536):
                if b"COMMIT" in data and self._take():
                    client.shutdown(socket.SHUT_RDWR)  # before the server can answer
                    server.sendall(data)
                    time.sleep(0.2)
                    break
                server.sendall(data)
        _hang_up(client, server)

    def _take(self) -> bool:
        with self._lock:
            if self.drop <= 0:
                return False
            self.drop -= 1
            self.dropped += 1
            return True


def _pump(source: socket.socket, sink: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65536):
            sink.sendall(data)
    _hang_up(source, sink)


def _hang_up(*ends: socket.socket) -> None:
    for end in ends:
        with suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)
        end.close()


@contextmanager
def postgres_proxy(host: str, port: int) -> Iterator[PostgresProxy]:
    proxy = PostgresProxy(host, port)
    try:
        yield proxy
    finally:
        proxy.close()
