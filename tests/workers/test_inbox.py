"""A slot serves what waits in Redis after the chunk it was called for: in order, till nothing is left or time is up."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from uuid import UUID, uuid4

import pytest
import redis
from sqlalchemy import Engine

from db.states import TASK_NAME, ChunkState, JobState, queue_name
from tests.conftest import Bucket
from tests.jobs import check_invariants, chunk_rows, job_row, picture, submit
from workers.broker import build_app, queue_keys
from workers.inbox import Inbox
from workers.settings import Settings
from workers.worker import Worker

Start = Callable[..., Worker]


def ring(settings: Settings, job: UUID, chunks: list[int], model: str = "null", urgency: int = 0) -> None:
    app = build_app(settings)
    for chunk in chunks:
        app.send_task(TASK_NAME, args=(str(job), chunk), queue=queue_name(model), priority=urgency)
    app.close()


@contextmanager
def lists(settings: Settings) -> Iterator["redis.Redis"]:
    with redis.Redis.from_url(settings.redis_url) as client:
        yield client


@pytest.fixture
def inbox(settings: Settings) -> Iterator[Inbox]:
    inbox = Inbox(settings.redis_url, ("null", "other"))
    yield inbox
    inbox.close()


def test_the_most_urgent_first_then_the_oldest(settings: Settings, inbox: Inbox) -> None:
    job = uuid4()
    ring(settings, job, [1], urgency=9)
    ring(settings, job, [2, 3], urgency=3)
    ring(settings, job, [4], model="other", urgency=6)
    ring(settings, job, [5], urgency=0)
    assert [inbox.take() for _ in range(6)] == [(job, 5), (job, 2), (job, 3), (job, 4), (job, 1), None]


def test_models_take_turns(settings: Settings, inbox: Inbox) -> None:
    null, other = uuid4(), uuid4()
    ring(settings, null, [0, 1])
    ring(settings, other, [0, 1], model="other")
    taken = [inbox.take() for _ in range(4)]
    assert [found[0] for found in taken if found] in ([null, other] * 2, [other, null] * 2)


def test_a_foreign_message_is_nothing(settings: Settings, inbox: Inbox) -> None:
    with lists(settings) as client:
        client.lpush(queue_keys("null")[0], b"nonsense")
    assert inbox.take() is None


def test_without_redis_there_is_nothing() -> None:
    started = time.monotonic()
    assert Inbox("redis://127.0.0.1:1/0", ("null",)).take() is None
    assert time.monotonic() - started < 2


def test_one_call_serves_every_waiting_chunk(
    engine: Engine, bucket: Bucket, settings: Settings, start_worker: Start
) -> None:
    job = submit(engine, [bucket.put("a.jpg", picture())] * 10, size=2)
    worker = start_worker()
    ring(settings, job, [1, 1, 2, 3, 99, 4])  # one twice, one that does not exist
    worker.serve(job, 0)
    assert job_row(engine, job).state == JobState.SUCCEEDED
    assert [chunk.attempts for chunk in chunk_rows(engine, job)] == [1] * 5
    check_invariants(engine, job)


def test_no_chunk_is_begun_after_its_time(
    engine: Engine, bucket: Bucket, settings: Settings, start_worker: Start
) -> None:
    job = submit(engine, [bucket.put("a.jpg", picture())] * 3, size=1)
    worker = start_worker(null_delay=0.3, chunk_seconds=0.2)
    ring(settings, job, [1, 2])
    worker.serve(job, 0)
    assert [c.state for c in chunk_rows(engine, job)] == [ChunkState.DONE, ChunkState.READY, ChunkState.READY]
    with lists(settings) as client:
        assert client.llen(queue_keys("null")[0]) == 2


def test_a_stopping_worker_takes_no_message(
    engine: Engine, bucket: Bucket, settings: Settings, start_worker: Start
) -> None:
    job = submit(engine, [bucket.put("a.jpg", picture())] * 2, size=1)
    worker = start_worker()
    ring(settings, job, [1])
    worker.stopping.set()
    worker.serve(job, 0)
    assert [c.state for c in chunk_rows(engine, job)] == [ChunkState.READY] * 2
    with lists(settings) as client:
        assert client.llen(queue_keys("null")[0]) == 1
