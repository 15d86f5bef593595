"""The workers' probes, as Kubernetes runs them, of a process that loads, lives, hangs and dies."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
import redis

from db.engine import sync_engine
from tests.conftest import Bucket
from tests.jobs import picture, submit
from tools.manifests.build import OVERLAYS, build
from workers.broker import list_names, message

IN_PODS = "/run/maskworks"


def _eventually(holds: Callable[[], bool], process: "subprocess.Popen[bytes]", log: Path, seconds: float = 60) -> None:
    until = time.monotonic() + seconds
    while not holds():
        assert process.poll() is None and time.monotonic() < until, log.read_text()[-3000:]
        time.sleep(0.05)


@pytest.fixture(scope="module")
def container() -> dict[str, Any]:
    deployments = {each["metadata"]["name"]: each for each in build(OVERLAYS / "cpu") if each["kind"] == "Deployment"}
    worker = deployments["maskworks-worker-sam-tiny"]
    container: dict[str, Any] = worker["spec"]["template"]["spec"]["containers"][0]
    assert {"name": "MASKWORKS_HEALTH_DIR", "value": IN_PODS} in container["env"]
    return container


@pytest.fixture
def start(settings_env: dict[str, str], tmp_path: Path) -> Iterator[Callable[[], "subprocess.Popen[bytes]"]]:
    """Start a worker as the image does. A batch of it never ends."""
    command = [sys.executable, "-m", "celery", "-A", "workers.main", "worker", "--without-gossip", "--without-mingle"]
    own = {"MASKWORKS_HEALTH_DIR": str(tmp_path), "MASKWORKS_NULL_DELAY": "3600"}
    started: list[subprocess.Popen[bytes]] = []

    def run() -> "subprocess.Popen[bytes]":
        with (tmp_path / "log").open("ab") as out:
            started.append(subprocess.Popen(command, env=os.environ | settings_env | own, stdout=out, stderr=out))
        return started[-1]

    yield run
    for process in started:
        process.kill()
        process.wait(30)


def test_probes_of_a_worker(
    container: dict[str, Any],
    start: Callable[[], "subprocess.Popen[bytes]"],
    database: str,
    redis_url: str,
    bucket: Bucket,
    tmp_path: Path,
) -> None:
    loop, log = tmp_path / "gpu-loop", tmp_path / "log"

    def passes(probe: str) -> bool:
        command = [word.replace(IN_PODS, str(tmp_path)) for word in container[f"{probe}Probe"]["exec"]["command"]]
        return subprocess.run(command, check=False, capture_output=True).returncode == 0

    def age() -> None:
        """As if ten minutes had passed since the last touch."""
        os.utime(loop, (time.time() - 600,) * 2)

    # A container that died leaves its files to the next one in the pod.
    (tmp_path / "loaded").touch()
    loop.touch()
    age()
    assert passes("readiness") and not passes("liveness")

    with psycopg.connect(database.replace("+psycopg", "")) as holder:
        holder.execute("LOCK TABLE workers IN EXCLUSIVE MODE")  # a worker registers before it says that it is loaded
        process = start()
        _eventually(lambda: not (tmp_path / "loaded").exists(), process, log)
        assert not passes("startup") and not passes("readiness")
    _eventually(lambda: passes("startup"), process, log)
    assert passes("readiness")
    _eventually(lambda: passes("liveness"), process, log)
    age()
    _eventually(lambda: passes("liveness"), process, log)  # an idle worker touches the file too

    engine = sync_engine(database)
    job = submit(engine, [bucket.put("a.jpg", picture())])
    engine.dispose()
    with redis.Redis.from_url(redis_url) as client:
        client.lpush(list_names("null")[0], message(job, 0))

    def hangs() -> bool:
        age()
        time.sleep(1)  # an idle loop touches the file far more often
        return not passes("liveness")

    _eventually(hangs, process, log)
    assert passes("readiness") and process.poll() is None

    process.kill()
    process.wait()
    assert not passes("liveness")
