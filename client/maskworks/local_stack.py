"""The processes and stores of a local stack, as its stack.json names them."""

import json
import os
import socket
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

NAMES: Final = ("postgres", "redis", "s3", "api", "dispatcher")
_SECONDS: Final = 3.0

Found = tuple[str, bool | None, str, str | None]
"""A name, whether it is all right, what was seen, and what to do."""


def is_of(stack: Mapping[str, Any], url: str) -> bool:
    """Whether this stack serves that URL."""
    return str(stack.get("api_url", "")).rstrip("/") == url.rstrip("/")


def findings(stack: Mapping[str, Any]) -> Iterator[Found]:
    """One for each of its processes, and one for each store that does not answer."""
    pids = _pids(stack)
    for name in (*NAMES, *(name for name in pids if name not in NAMES)):
        yield _process(name, pids.get(name))
    if not any(name.startswith("worker-") for name in pids):
        yield _process("worker-1", None)
    if not _answers(stack["redis_url"], b"PING\r\n"):
        yield "redis", False, "it does not answer", "start it again; jobs wait meanwhile, and nothing is lost"


def _pids(stack: Mapping[str, Any]) -> dict[str, int]:
    pids = json.loads(json.dumps(stack.get("pids") or {}))
    workers = {f"worker-{number}": pid for number, pid in enumerate(pids.pop("workers", []), 1)}
    return {**pids, **workers}


def _process(name: str, pid: int | None) -> Found:
    todo = f"`maskworks up` starts it again by itself; read {name}.log in the stack's folder `logs` if it does not"
    if pid is None or not _exists(pid):
        return name, False, "it does not run", todo
    if _is_stopped(pid):
        return name, False, f"its process is stopped (pid {pid})", f"run kill -CONT {pid}"
    return name, True, f"it runs (pid {pid})", None


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return _state(pid) not in ("Z", "X")


def _is_stopped(pid: int) -> bool:
    return _state(pid) in ("T", "t")


def _state(pid: int) -> str:
    """The letter that Linux has for a process's state; empty elsewhere."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except (OSError, IndexError):
        return ""


def _answers(url: str, said: bytes) -> bool:
    """Whether something at the URL answers, even by asking for a password."""
    place = urlsplit(url)
    if not place.hostname or not place.port:
        return True  # a socket of Unix: its process was looked at
    try:
        with socket.create_connection((place.hostname, place.port), _SECONDS) as connection:
            connection.sendall(said)
            connection.settimeout(_SECONDS)
            return bool(connection.recv(1))
    except OSError:
        return False
