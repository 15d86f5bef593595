"""Whatever is written into our Redis lists, a worker drops what names no chunk of ours and serves the rest."""

import base64
import json
import os
import pickle
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from ssl import CERT_NONE, CERT_REQUIRED, VerifyMode
from typing import Any
from uuid import UUID, uuid4

import pytest
import redis
from sqlalchemy import Engine, text

from tests.conftest import Bucket
from tests.jobs import picture, submit
from workers.app import build_app
from workers.broker import chunk_of, list_name, list_names, message
from workers.dispatcher.sender import Message, Sender
from workers.settings import Settings
from workers.transport import TASK_NAME, task_message

JOB = UUID("01900000-0000-7000-8000-000000000000")
QUEUE = list_name("null", 0)


class Bomb:
    """Writes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return (Path.touch, (self.path,))


RAW: list[bytes] = [
    b"",
    b"nonsense",
    b"\xff\xfe\x00\x80",
    b"{",
    b"[" * 100_000,
    b'{"a":' * 100_000,
    b"9" * 10_000,
    b"x" * 2**24,
]
NO_CHUNK: list[Any] = [
    *(None, 5, "text", [], {}, True, 1.5, [5], [JOB.hex, 0], {"job": str(JOB)}, {"chunk": 0}),
    *({"job": job, "chunk": 0} for job in (None, "no uuid", 5, [str(JOB)], "x" * 2**22)),
    {"job": {}, "chunk": 0},
    *(
        {"job": str(JOB), "chunk": number}
        for number in (None, "0", 1.5, True, -1, 2**31, 10**400, [0], float("inf"), float("nan"))
    ),
    *({"job": {"__type__": kind, "__value__": "no"}, "chunk": 0} for kind in ("uuid", "datetime")),
    json.loads(task_message(QUEUE, (JOB, 0))),  # kombu's own format, which others' clients would send
]
STRANGE: list[Any] = [
    {"job": str(JOB), "chunk": 0},
    {"job": JOB.hex, "chunk": 2**31 - 1},
    {"job": str(JOB).upper(), "chunk": 7, "headers": {"task": "celery.backend_cleanup"}, "content-type": "pickle"},
]
"""Messages that name a chunk, of a job that there is not."""


@pytest.fixture
def client(redis_url: str) -> "Iterator[redis.Redis]":
    with redis.Redis.from_url(redis_url) as client:
        yield client


@pytest.fixture
def worker(settings_env: dict[str, str], tmp_path: Path) -> Iterator[Callable[[], str]]:
    """A worker's own process; the callable says what it has logged, and fails once it has ended."""
    command = [sys.executable, "-m", "celery", "-A", "workers.main", "worker", "--without-gossip", "--without-mingle"]
    log = tmp_path / "worker.log"
    with log.open("w") as out:
        process = subprocess.Popen(command, env=os.environ | settings_env, stdout=out, stderr=subprocess.STDOUT)

    def logged() -> str:
        assert process.poll() is None, log.read_text()[-3000:]
        return log.read_text()

    yield logged
    process.terminate()
    process.wait(30)


def wait_served(engine: Engine, job: UUID, logged: Callable[[], str], seconds: float = 60) -> None:
    """Until no chunk of the job is unfinished, while the worker lives."""
    unfinished = text("SELECT count(*) FROM chunks WHERE job_id = :job AND state <> 'done'")
    until = time.monotonic() + seconds
    while True:
        log = logged()
        with engine.connect() as connection:
            if connection.execute(unfinished, {"job": job}).scalar_one() == 0:
                return
        assert time.monotonic() < until, log[-3000:]
        time.sleep(0.05)


def test_a_worker_outlives_every_poison_message(
    engine: Engine, bucket: Bucket, client: "redis.Redis", worker: Callable[[], str], tmp_path: Path
) -> None:
    bomb = tmp_path / "unpickled"
    pickled = base64.b64encode(pickle.dumps(Bomb(bomb))).decode()
    calls = [
        json.loads(task_message(QUEUE, (JOB, 0)))
        | {"content-type": kind, "content-encoding": encoding, "body": pickled}
        for kind in ("application/x-python-serialize", "pickle", "application/json")
        for encoding in ("binary", "utf-8")
    ]
    nameless = [*RAW, pickle.dumps(Bomb(bomb)), *(json.dumps(each).encode() for each in NO_CHUNK + calls)]
    poison = nameless + [json.dumps(each).encode() for each in STRANGE]
    job = submit(engine, [bucket.put("a.jpg", picture())] * (len(poison) // 4 + 1), size=1)
    for i, raw in enumerate(poison):
        client.lpush(list_names("null")[i % 4], raw)
        if i % 4 == 0:
            client.lpush(QUEUE, message(job, i // 4))
    for chunk in range(len(poison) // 4 + 1):  # those that were let past by their urgency, and the last
        client.rpush(list_names("null")[-1], message(job, chunk))
    wait_served(engine, job, worker)
    until = time.monotonic() + 20
    while sum(int(client.llen(key)) for key in list_names("null")):
        worker()
        assert time.monotonic() < until
        time.sleep(0.05)
    last = submit(engine, [bucket.put("a.jpg", picture())], size=1)
    client.lpush(QUEUE, message(last, 0))
    wait_served(engine, last, worker)
    assert worker().count("that names no chunk") == len(nameless)
    assert "Unrecoverable" not in worker() and "Restart" not in worker()
    assert not bomb.exists()


@pytest.mark.parametrize("raw", [*RAW, *(json.dumps(each).encode() for each in NO_CHUNK)])
def test_what_names_no_chunk(raw: bytes) -> None:
    assert chunk_of(raw) is None


def test_a_message_is_read_back() -> None:
    job = uuid4()
    assert chunk_of(message(job, 7)) == (job, 7)


def test_the_call_of_the_task_names_the_chunk() -> None:
    call = json.loads(task_message(QUEUE, (JOB, 7)))
    assert json.loads(base64.b64decode(call["body"]))[0] == [str(JOB), 7]
    assert call["headers"]["task"] == TASK_NAME


def test_the_leader_reads_on_behind_poison(
    settings: Settings, client: "redis.Redis", monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workers.dispatcher.sender._PROMOTE_AFTER", 0.1)
    for key in list_names("null"):
        client.lpush(key, *(raw for raw in RAW if len(raw) < 2**20), *(json.dumps(each) for each in NO_CHUNK))
    job, sender = uuid4(), Sender(settings.redis_url)
    sender.watch(frozenset({"null"}))
    sender.send([Message("null", job, 1, 9)])
    sender.start()
    until = time.monotonic() + 20
    while sender.waiting is None or (job, 1) not in sender.waiting.chunks or sender.waiting.asked < until - 18:
        assert time.monotonic() < until
        time.sleep(0.05)
    sender.stop()


@pytest.mark.parametrize(
    ("url", "checks"),
    [
        ("rediss://h/0", CERT_REQUIRED),
        ("rediss://h/0?ssl_cert_reqs=required", CERT_REQUIRED),
        ("rediss://h/0?ssl_cert_reqs=none", CERT_NONE),
    ],
)
def test_a_url_of_rediss_means_tls(settings: Settings, url: str, checks: VerifyMode) -> None:
    with build_app(settings.model_copy(update={"redis_url": url})).connection_for_write() as connection:
        assert connection.ssl["ssl_cert_reqs"] is checks


def test_a_url_of_redis_means_none(settings: Settings) -> None:
    with build_app(settings).connection_for_write() as connection:
        assert not connection.ssl
