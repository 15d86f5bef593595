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

from db.states import TASK_NAME, queue_name
from tests.conftest import Bucket
from tests.jobs import picture, submit
from workers.broker import build_app, queue_keys
from workers.doorbell import chunk_of, message
from workers.ringer import Ring, Ringer
from workers.settings import Settings

JOB = UUID("01900000-0000-7000-8000-000000000000")
QUEUE = queue_name("null")


class Bomb:
    """Writes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return (Path.touch, (self.path,))


def envelope(**changes: Any) -> dict[str, Any]:
    """A valid message with some of its fields replaced; None leaves a field out."""
    whole = json.loads(message(QUEUE, JOB, 0)) | changes
    return {name: value for name, value in whole.items() if value is not None}


def body(value: Any) -> str:
    return base64.b64encode(json.dumps(value).encode()).decode()


def chunk_body(job: Any, chunk: Any) -> str:
    return body([[job, chunk], {}, {"callbacks": None, "errbacks": None, "chain": None, "chord": None}])


def changed(field: str, **changes: Any) -> dict[str, Any]:
    return envelope(**{field: envelope()[field] | changes})


def without(field: str, name: str) -> dict[str, Any]:
    return envelope(**{field: {key: value for key, value in envelope()[field].items() if key != name}})


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
NO_BODY: list[Any] = [5, None, "a", [], {}, True, 1.5, [5], [None], [[]], [[1]], [[1, 2, 3]], "x" * 2**22]
NO_JOB: list[Any] = [None, "no uuid", 5, {}, [str(JOB)]]
NO_NUMBER: list[Any] = [None, "0", 1.5, -1, 2**31, 10**400, [0], float("inf"), float("nan")]
NO_CHUNK: list[Any] = [
    *(None, 5, "text", [], {}, [[JOB.hex, 0], {}], {"body": 5}, {"body": None}, {"body": "%%%"}, {"body": [1, 2]}),
    *({"__type__": kind, "__value__": value} for kind in ("uuid", "datetime") for value in ("no", 5)),
    *(envelope(body=body(value)) for value in NO_BODY),
    *(envelope(body=chunk_body(job, 0)) for job in NO_JOB),
    *(envelope(body=chunk_body(str(JOB), number)) for number in NO_NUMBER),
    *(
        envelope(body=base64.b64encode(octets).decode())
        for octets in (b"\xff\xfe", b"!!python/object/apply:os.getpid []")
    ),
    envelope(**{"content-type": "application/x-yaml", "body": body("!!python/object/apply:os.getpid []")}),
]
STRANGE: list[Any] = [
    *(envelope(**{field: None}) for field in ("headers", "properties", "content-type", "content-encoding")),
    *(
        envelope(**{field: value})
        for field in ("headers", "properties", "content-type", "content-encoding")
        for value in (5, "a", [], {}, [[]])
    ),
    *(without("properties", name) for name in envelope()["properties"]),
    *(changed("properties", **{name: v}) for name in envelope()["properties"] for v in (5, None, [], {"a": {}})),
    *(without("headers", name) for name in envelope()["headers"]),
    *(changed("headers", **{name: value}) for name in envelope()["headers"] for value in (5, None, [], {})),
    *(changed("headers", task=task) for task in ("celery.backend_cleanup", "celery.map", "nothing", "")),
    *(changed("headers", eta=eta) for eta in ("9999-12-31T23:59:59", "no time", 5)),
    *(changed("headers", expires=expires) for expires in ("2000-01-01T00:00:00", "no time", [])),
    *(changed("headers", timelimit=limit) for limit in ([0.001, 0.001], 5, ["a", "b"])),
    *(changed("headers", compression=name) for name in ("gzip", "nothing", 5)),
    changed("headers", retries="a", ignore_result=5, stamps=5, replaced_task_nesting="x"),
    changed("properties", priority="a", reply_to=5),
]
"""Messages that name a chunk, of a job that there is not, in envelopes that Celery never makes."""


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
    pickles = [
        envelope(**{"content-type": kind, "content-encoding": encoding, "body": pickled})
        for kind in ("application/x-python-serialize", "pickle", "application/json")
        for encoding in ("binary", "utf-8")
    ]
    nameless = RAW + [json.dumps(each).encode() for each in NO_CHUNK + pickles]
    poison = nameless + [json.dumps(each).encode() for each in STRANGE]
    job = submit(engine, [bucket.put("a.jpg", picture())] * (len(poison) // 4 + 1), size=1)
    for i, raw in enumerate(poison):
        client.lpush(queue_keys("null")[i % 4], raw)
        if i % 4 == 0:
            client.lpush(QUEUE, message(QUEUE, job, i // 4))
    client.hset("unacked", "tag", "nonsense")
    client.hset("unacked", "other", json.dumps([5, [], {}]))
    client.zadd("unacked_index", {"tag": 1, "other": 1, "missing": 1})
    for chunk in range(len(poison) // 4 + 1):  # those that were let past by their urgency, and the last
        client.rpush(queue_keys("null")[-1], message(QUEUE, job, chunk))
    wait_served(engine, job, worker)
    until = time.monotonic() + 20
    while sum(int(client.llen(key)) for key in queue_keys("null")):
        worker()
        assert time.monotonic() < until
        time.sleep(0.05)
    last = submit(engine, [bucket.put("a.jpg", picture())], size=1)
    client.lpush(QUEUE, message(QUEUE, last, 0))
    wait_served(engine, last, worker)
    assert worker().count("that names no chunk") == len(nameless)
    assert "Unrecoverable" not in worker() and "Restart" not in worker()
    assert not bomb.exists()


@pytest.mark.parametrize("raw", [*RAW, *(json.dumps(each).encode() for each in NO_CHUNK)])
def test_what_names_no_chunk(raw: bytes) -> None:
    assert chunk_of(raw) is None


def test_a_message_is_read_back() -> None:
    job = uuid4()
    assert chunk_of(message(QUEUE, job, 7)) == (job, 7)


def test_what_the_leader_sends_is_read_back(settings: Settings, client: "redis.Redis") -> None:
    app, job = build_app(settings), uuid4()
    app.send_task(TASK_NAME, args=(str(job), 3), queue=QUEUE)
    app.close()
    assert [chunk_of(raw) for raw in client.lrange(QUEUE, 0, -1)] == [(job, 3)]


def test_the_leader_reads_on_behind_poison(
    settings: Settings, client: "redis.Redis", monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workers.ringer._PROMOTE_AFTER", 0.1)
    for key in queue_keys("null"):
        client.lpush(key, *(raw for raw in RAW if len(raw) < 2**20), *(json.dumps(each) for each in NO_CHUNK))
    job, ringer = uuid4(), Ringer(build_app(settings), settings.redis_url)
    ringer.watch(frozenset({"null"}))
    ringer.ring([Ring("null", job, 1, 9)])
    ringer.start()
    until = time.monotonic() + 20
    while ringer.bell is None or (job, 1) not in ringer.bell.waiting or ringer.bell.at < until - 18:
        assert time.monotonic() < until
        time.sleep(0.05)
    ringer.stop()


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
