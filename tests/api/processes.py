"""The API as a process of its own."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import httpx

from tests.api.conftest import PEPPER


@contextmanager
def served(factory: str, database: str, **settings: str) -> Iterator[tuple[str, int]]:
    """uvicorn over a factory, on a socket that is bound before: no port can be lost."""
    with socket.socket() as listener:
        # Accepted connections inherit it. uvicorn takes a passed socket for a Unix one: answers would wait 40 ms.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        words = ("uvicorn", "--factory", factory, "--fd", str(listener.fileno()))
        environment = {
            "MASKWORKS_DATABASE_URL": database,
            "MASKWORKS_KEY_PEPPER": PEPPER,
            **{f"MASKWORKS_{name.upper()}": value for name, value in settings.items()},
            "PYTHONPATH": ":".join(sys.path),
        }
        process = subprocess.Popen(
            [sys.executable, "-m", *words],
            env={**os.environ, **environment},
            pass_fds=[listener.fileno()],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            yield listener.getsockname()
        finally:
            process.terminate()
            process.wait(20)


@contextmanager
def process(environment: dict[str, str], *words: str, says: str = "submitted by") -> Iterator[str]:
    """The service as a process, on a free port; at its end its log has `says` and no traceback."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", *words, "--port", str(port)]
    env = {**os.environ, **environment}
    process = subprocess.Popen(command, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    try:
        yield f"http://127.0.0.1:{port}"
        process.terminate()
        _, log = process.communicate(timeout=20)
        assert "Traceback" not in log and says in log
    finally:
        process.kill()
        process.communicate()


def wait_ready(client: httpx.Client) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            if client.get("/readyz").status_code == 200:
                return
        except httpx.TransportError:
            time.sleep(0.1)
    raise AssertionError("the API did not become ready")
