"""Requests over real sockets: TLS by the host's name, no redirects, and servers that never end."""

import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import trustme

from db.web_url import web_url
from workers.outbound.address import TargetRefused
from workers.outbound.exchange import NETWORK_ERRORS, Patience, exchange

PATIENT = Patience(connect=20, read=20, whole=60)
HURRIED = Patience(connect=20, read=0.3, whole=0.6)


@dataclass
class Seen:
    """What a server was sent."""

    hosts: list[str] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)


@contextmanager
def server(seen: Seen, tls: ssl.SSLContext | None = None) -> Iterator[int]:
    """Answers 200, under /moved 302, and under /slow a byte now and then. Gives its port."""
    stop = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            """Say nothing."""

        def do_POST(self) -> None:
            seen.hosts.append(self.headers["Host"])
            seen.bodies.append(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(302 if self.path == "/moved" else 200)
            if self.path == "/moved":
                self.send_header("Location", "http://127.0.0.1/")
            self.send_header("Content-Length", "1000" if self.path == "/slow" else "2")
            self.end_headers()
            while self.path == "/slow" and not stop.wait(0.1):
                try:
                    self.wfile.write(b"x")
                except OSError:
                    return
            if self.path != "/slow":
                self.wfile.write(b"ok")

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as listening:
        if tls is not None:
            listening.socket = tls.wrap_socket(listening.socket, server_side=True)
        thread = threading.Thread(target=listening.serve_forever)
        thread.start()
        try:
            yield listening.server_address[1]
        finally:
            stop.set()
            listening.shutdown()
            thread.join()


@pytest.fixture
def authority(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> trustme.CA:
    """Certificates of this authority are trusted, and every name leads to this machine."""
    made = trustme.CA()
    made.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))

    def here(_host: str, port: int, *_args: object, **_options: object) -> list[object]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]

    monkeypatch.setattr(socket, "getaddrinfo", here)
    return made


def context(authority: trustme.CA, name: str) -> ssl.SSLContext:
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(name).configure_cert(made)
    return made


def test_the_hosts_name_is_used_for_tls_and_host(authority: trustme.CA) -> None:
    seen = Seen()
    with server(seen, context(authority, "hooks.example.com")) as port:
        url = web_url(f"https://hooks.example.com:{port}/a")
        with exchange("POST", url, PATIENT, private=True, body=b"hello") as response:
            assert (response.status, response.read()) == (200, b"ok")
    assert (seen.hosts, seen.bodies) == ([f"hooks.example.com:{port}"], [b"hello"])


def test_a_certificate_of_another_name_is_refused(authority: trustme.CA) -> None:
    seen = Seen()
    with server(seen, context(authority, "other.example.com")) as port:
        url = web_url(f"https://hooks.example.com:{port}/a")
        with pytest.raises(NETWORK_ERRORS), exchange("POST", url, PATIENT, private=True, body=b""):
            pass
    assert seen.bodies == []


def test_a_redirect_is_an_answer() -> None:
    seen = Seen()
    with server(seen) as port:
        url = web_url(f"http://127.0.0.1:{port}/moved", private=True)
        with exchange("POST", url, PATIENT, private=True, body=b"x") as response:
            assert (response.status, response.headers["location"]) == (302, "http://127.0.0.1/")
    assert seen.bodies == [b"x"]


def test_a_server_that_never_ends_is_cut_off() -> None:
    with server(Seen()) as port:
        url = web_url(f"http://127.0.0.1:{port}/slow", private=True)
        started = time.monotonic()
        with pytest.raises(NETWORK_ERRORS), exchange("POST", url, HURRIED, private=True, body=b"x") as response:
            response.read()
        assert time.monotonic() - started < 30


def test_a_tls_handshake_that_never_ends_is_cut_off(authority: trustme.CA) -> None:  # noqa: ARG001
    """A receiver that sends a byte now and then must not hold a thread that serves everybody."""
    stop = threading.Event()

    def drip(listener: socket.socket) -> None:
        peer, _ = listener.accept()
        with peer, suppress(OSError):
            peer.sendall(b"\x16\x03\x03\x40\x00")  # the head of a long TLS record
            while not stop.wait(0.05):
                peer.sendall(b"x")

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=drip, args=(listener,))
        thread.start()
        url = web_url(f"https://hooks.example.com:{listener.getsockname()[1]}/")
        started = time.monotonic()
        with pytest.raises(NETWORK_ERRORS):
            exchange("POST", url, Patience(connect=0.5, read=60, whole=60), private=True, body=b"x").__enter__()
        assert time.monotonic() - started < 30
        stop.set()
        thread.join()


def test_a_proxy_of_the_environment_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    with server(Seen()) as port:
        url = web_url(f"http://127.0.0.1:{port}/", private=True)
        with exchange("POST", url, PATIENT, private=True, body=b"x") as response:
            assert response.status == 200


def test_a_private_target_is_not_connected_to() -> None:
    seen = Seen()
    with server(seen) as port, pytest.raises(TargetRefused):
        exchange("POST", web_url(f"https://127.0.0.1:{port}/"), PATIENT, private=False, body=b"x").__enter__()
    assert seen.bodies == []
