"""`python -m deploy.local up` as its users and its misfortunes meet it; the null model does the work."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image

from deploy.local.folder import DataFolder

ROOT = Path(__file__).parents[2]
STORES = ("postgres", "redis", "s3")


class Up:
    """A running `deploy.local up` and what it wrote."""

    def __init__(self, data: Path, process: "subprocess.Popen[str]") -> None:
        self.data = data
        self.process = process

    def description(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.data / "stack.json").read_text())
        return found

    def pids(self) -> list[int]:
        pids = dict(self.description()["pids"])
        return [*pids.pop("workers"), *pids.values()]

    def client(self) -> httpx.Client:
        facts = self.description()
        return httpx.Client(base_url=facts["api_url"], headers={"Authorization": f"Bearer {facts['api_key']}"})

    def finishes_a_job(self) -> bool:
        """Whether a picture that was put makes the whole trip."""
        with self.client() as client:
            body = {"task": {"type": "auto"}, "input": {"prefix": "s3://images/pictures/"}}
            try:
                job = client.post("/v1/jobs", json=body).raise_for_status().json()
                path = f"/v1/jobs/{job['id']}"
                done = client.get(path, params={"wait": 30}, timeout=40).raise_for_status().json()
            except (httpx.HTTPStatusError, httpx.TransportError):
                return False
        return bool(done["state"] == "succeeded")


def _local(*words: object, **environment: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", "deploy.local", *map(str, words)],
        cwd=ROOT,
        env={**os.environ, "MASKWORKS_MODELS": "null", **environment},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def _said(process: "subprocess.Popen[str]", seconds: float = 60) -> tuple[int, str]:
    output, _ = process.communicate(timeout=seconds)
    return process.returncode, output


@contextmanager
def _up(data: Path) -> Iterator[Up]:
    file = data / "stack.json"
    stale = file.read_text() if file.exists() else ""
    process = _local("up", "--data", data, "--port", 0)
    running = Up(data, process)
    try:
        _eventually(lambda: (file.exists() and file.read_text() != stale) or process.poll() is not None, 60)
        assert process.poll() is None, process.communicate()[0]
        yield running
    finally:
        if process.poll() is None:
            process.terminate()
        process.communicate(timeout=60)


def _eventually(holds: Callable[[], bool], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "did not happen in time"
        time.sleep(0.1)


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


@pytest.fixture(scope="module")
def up(passable_folder: Path) -> Iterator[Up]:
    """One for the tests that leave it running, at a path of 150 characters."""
    data = passable_folder / ("a long and winding path " * 6)[: 149 - len(str(passable_folder))]
    assert len(str(data)) == 150
    with _up(data) as running:
        pictures = passable_folder / "pictures"
        pictures.mkdir()
        Image.new("RGB", (64, 48), "teal").save(pictures / "one.png")
        (pictures / "notes.txt").write_text("no picture")
        code, output = _said(_local("put", "--data", data, pictures))
        assert (
            code == 0
            and "Left out notes.txt: no picture by its name.\nUploaded 1 object to s3://images/pictures/." in output
        )
        yield running


def test_stack_json_says_where_everything_is(up: Up) -> None:
    facts = up.description()
    assert (up.data / "stack.json").stat().st_mode & 0o777 == 0o600
    assert set(facts) == {"api_url", "api_key", "s3", "database_url", "redis_url", "pids", "env"}
    assert set(facts["s3"]) == {"endpoint_url", "access_key", "secret_key", "region", "bucket"}
    assert set(facts["pids"]) == {*STORES, "api", "dispatcher", "workers"}
    assert len(facts["pids"]["workers"]) == 1
    assert all(name.startswith("MASKWORKS_") for name in facts["env"])
    assert facts["env"]["MASKWORKS_DATABASE_URL"] == facts["database_url"]
    with up.client() as client:
        assert client.get("/readyz").status_code == 200


def test_a_picture_makes_the_trip(up: Up) -> None:
    assert up.finishes_a_job()


def test_no_secret_is_in_an_argument_list(up: Up) -> None:
    facts = up.description()
    secrets = [*DataFolder(up.data).secrets().values(), facts["api_key"]]
    for pid in up.pids():
        words = Path(f"/proc/{pid}/cmdline").read_text()
        assert not [secret for secret in secrets if secret in words]


def test_a_second_start_is_refused_and_harms_nothing(up: Up) -> None:
    code, output = _said(_local("up", "--data", up.data, "--port", 0))
    assert (code, f"pid {up.process.pid}" in output) == (1, True)
    assert "make down" in output
    code, output = _said(_local("reset", "--data", up.data))
    assert (code, "A stack runs in" in output) == (1, True)
    assert all(_alive(pid) for pid in up.pids())


@pytest.mark.parametrize("name", [*STORES, "api", "dispatcher", "workers"])
def test_a_killed_child_comes_back_where_it_was(up: Up, name: str) -> None:
    before = up.description()
    pid = before["pids"][name][0] if name == "workers" else before["pids"][name]
    os.kill(pid, signal.SIGKILL)
    _eventually(lambda: up.description()["pids"][name] != before["pids"][name])
    after = up.description()
    assert {**after, "pids": None} == {**before, "pids": None}
    assert {**after["pids"], name: None} == {**before["pids"], name: None}
    _eventually(up.finishes_a_job, 60)


@pytest.fixture
def stopped(passable_folder: Path) -> Path:
    """One for the tests that stop it. The first of them makes it, which takes as long as two starts."""
    return passable_folder / "stopped"


def test_a_taken_port_is_a_clear_error(passable_folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        code, output = _said(_local("up", "--data", passable_folder / "taken", "--port", port))
    assert code == 1
    assert output.startswith(f"error: Port {port} is in use. Choose another with PORT=…")


def test_nothing_survives_a_killed_supervisor_and_the_next_start_mends(stopped: Path) -> None:
    with _up(stopped) as first:
        pids = first.pids()
        first.process.kill()
        first.process.wait()
        _eventually(lambda: not any(_alive(pid) for pid in pids))
    assert (stopped / "stack.json").exists()
    # The pid of a dead Postgres, reused by somebody: us.
    (stopped / "postgres/postmaster.pid").write_text(f"{os.getpid()}\n{stopped}/postgres\n")
    with _up(stopped) as second, second.client() as client:
        assert client.get("/readyz").status_code == 200
        assert set(second.pids()).isdisjoint(pids)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_stops_everything(stopped: Path, number: signal.Signals) -> None:
    with _up(stopped) as running:
        pids = running.pids()
        running.process.send_signal(number)
        code, output = _said(running.process)
    assert (code, "Stopped." in output) == (0, True)
    assert not any(_alive(pid) for pid in pids)
    assert not (stopped / "stack.json").exists()
    assert not (stopped / "postgres/postmaster.pid").exists()


def test_down_stops_it_and_reset_forgets_it(stopped: Path) -> None:
    with _up(stopped) as running:
        assert _said(_local("down", "--data", stopped)) == (0, f"Stopped the stack (pid {running.process.pid}).\n")
    assert _said(_local("down", "--data", stopped))[0] == 0
    assert _said(_local("put", "--data", stopped, stopped))[0] == 1
    assert _said(_local("reset", "--data", stopped))[0] == 0
    assert not stopped.exists()
