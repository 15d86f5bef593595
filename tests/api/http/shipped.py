"""The shipped server as a process, and raw sockets to it.

Bounds on times are far beyond what is waited for: no test fails because a machine is slow.
"""

import contextlib
import json
import os
import re
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from sqlalchemy import Engine

from tests.api.conftest import PEPPER, new_tenant

PATIENCE = 60.0
HEAD_SECONDS = 1.0
MIB = 2**20


@dataclass
class Server:
    """`listener` is the socket that the process has inherited, with the same options."""

    listener: socket.socket
    key: str
    process: "subprocess.Popen[str]"
    engine: Engine

    @property
    def port(self) -> int:
        port: int = self.listener.getsockname()[1]
        return port

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
            running = Server(listener, new_tenant(engine)[1], process, engine)
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


def head(*headers: str, path: str = "/healthz") -> bytes:
    return "\r\n".join([f"GET {path} HTTP/1.1", "Host: api", *headers, "", ""]).encode()


def drip(connection: socket.socket, piece: bytes, until: threading.Event) -> None:
    with contextlib.suppress(OSError):  # cut, as it should be
        while not until.wait(0.1):
            connection.sendall(piece)
