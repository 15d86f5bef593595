"""Attacks by raw HTTP: endless heads, slow bodies."""

import socket
import time
from pathlib import Path

from tests.attacks.attack import Target, attack


def connect(target: Target) -> socket.socket:
    return socket.create_connection(target.stack.listener.getsockname(), timeout=20)


def resident(target: Target) -> int:
    """Megabytes that the API process holds."""
    status = Path(f"/proc/{target.stack.supervisor.pid('api')}/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith("VmRSS")).split()[1]) // 1024


def sent(target: Target, pieces: list[bytes]) -> str:
    """What a raw request is answered: the status line, or that the connection was closed."""
    with connect(target) as raw:
        try:
            for piece in pieces:
                raw.sendall(piece)
            raw.shutdown(socket.SHUT_WR)
            return raw.recv(4096).split(b"\r\n")[0].decode() or "closed"
        except OSError as error:
            return f"closed ({type(error).__name__})"


@attack("one header of 64 MB", "5 s of the API's only thread")
def long_header(target: Target) -> str:
    started, before = time.monotonic(), resident(target)
    said = sent(target, [b"GET /healthz HTTP/1.1\r\nHost: x\r\nA: "] + [b"a" * 2**20] * 64)
    assert "200" not in said, said
    assert target.http.get("/healthz").status_code == 200
    return f"{said} after {time.monotonic() - started:.2f} s; memory {before} → {resident(target)} MB"


@attack("a million short headers", "four million: memory 108 → 474 MB")
def many_headers(target: Target) -> str:
    before = resident(target)
    said = sent(target, [b"GET /healthz HTTP/1.1\r\nHost: x\r\n"] + [b"a: b\r\n" * 10_000] * 100)
    assert "200" not in said, said
    grown = resident(target) - before
    assert grown < 50, f"{grown} MB more"
    return f"{said}; memory {before} → {resident(target)} MB"


@attack("300 half-sent requests", "open for ever")
def half_sent(target: Target) -> str:
    raws = [connect(target) for _ in range(300)]
    try:
        for raw in raws:
            raw.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n")
        started = time.monotonic()
        assert target.http.get("/healthz").status_code == 200, "others are served meanwhile"
        for raw in raws:
            raw.settimeout(max(0.1, 90 - (time.monotonic() - started)))
            while raw.recv(4096):
                pass
    except ConnectionResetError:
        pass
    finally:
        for raw in raws:
            raw.close()
    return f"all closed by the server within {time.monotonic() - started:.0f} s"


@attack("30 open bodies of 31 MB", "the API at 1.46 GB")
def open_bodies(target: Target) -> str:
    before = resident(target)
    head = (
        f"POST /v1/jobs HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {target.stack.api_key}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {31 << 20}\r\n\r\n"
    ).encode()
    raws, refused = [], 0
    try:
        for _ in range(30):
            raw = connect(target)
            raws.append(raw)
            try:
                raw.sendall(head)
                for _ in range(30):
                    raw.sendall(b" " * 2**20)
            except OSError:
                refused += 1
        held = resident(target)
        assert held < 700, f"{held} MB"
        assert target.http.get("/v1/models").status_code == 200
    finally:
        for raw in raws:
            raw.close()
    return f"memory {before} → {held} MB; {refused} were cut while sending; others are served"
