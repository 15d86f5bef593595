"""Calls that a worker answers: ahead of bulk work, for each of its models, and until it stops."""

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import redis
from sqlalchemy import Engine, text

from intake.calls import queue_key, workers_key
from model.backends.null import EMBEDDING_SHAPE, NullPrepared, NullSegmenter
from tests.conftest import Bucket
from tests.jobs import chunk_rows, picture, submit
from tests.workers.instant.conftest import AUTO, Ask
from workers.pipeline import models
from workers.settings import Settings
from workers.worker import Worker

Start = Callable[..., Worker]


class Held(NullSegmenter):
    """The null model. A batch begins once the test lets one go."""

    def __init__(self, delay_s: float = 0.0) -> None:
        super().__init__(delay_s)
        self.begun: list[int] = []
        self.sizes_seen: list[tuple[int, int]] = []
        self.may_end = threading.Semaphore(0)

    def pre(self, image: Any, wanted: Any) -> NullPrepared:
        prepared = super().pre(image, wanted)
        self.sizes_seen.append((prepared.height, prepared.width))
        return prepared

    def core(self, batch: list[NullPrepared]) -> list[NullPrepared]:
        self.begun.append(batch[0].width)
        self.may_end.acquire()
        return batch


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> Iterator[Held]:
    model = Held()
    monkeypatch.setattr(models, "NullSegmenter", lambda **_: model)
    yield model
    for _ in range(1000):
        model.may_end.release()


def until(what: str, true: Callable[[], object], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        time.sleep(0.01)


def registered(settings: Settings, model: str = "null") -> None:
    with redis.Redis.from_url(settings.redis_url) as client:
        until("a sign of life", lambda: client.zcard(workers_key(model)))


def test_it_is_answered_after_the_batch_in_flight(
    engine: Engine, bucket: Bucket, start_worker: Start, settings: Settings, held: Held, ask: Ask
) -> None:
    """The job has images for many batches, decoded and waiting. The call's image is in the next batch, by itself."""
    images = [bucket.put(f"{i}.jpg", picture(20, 40, seed=i)) for i in range(30)]
    worker = start_worker(decode_threads=1)
    registered(settings)
    job = submit(engine, images, size=30)
    bulk = threading.Thread(target=worker.segment_chunk, args=(job, 0))
    bulk.start()
    until("a batch in flight, and others behind it", lambda: held.begun and len(held.sizes_seen) > 8)
    first, second = (ask(AUTO, picture(20, width)) for width in (50, 51))
    # One thread decodes: once it has the second picture, the first one waits for the batch to end.
    pictures = {(20, 50), (20, 51)}
    until(
        "both are decoded, or a call has ended",
        lambda: pictures <= set(held.sizes_seen) or first.done() or second.done(),
    )
    assert [one.result() for one in (first, second) if one.done()] == []
    before = len(held.begun)
    while not (first.done() or second.done()):
        held.may_end.release()
        time.sleep(0.01)
    assert held.begun[before] in (50, 51)
    while not (first.done() and second.done() and not bulk.is_alive()):
        held.may_end.release()
        time.sleep(0.01)
    assert [one.result().status_code for one in (first, second)] == [200, 200]
    assert [row.state for row in chunk_rows(engine, job)] == ["done"]


def test_the_embedding_of_the_null_model(start_worker: Start, settings: Settings, ask: Ask, bucket: Bucket) -> None:
    start_worker()
    registered(settings)
    uri = bucket.put("a.jpg", picture())
    answer = ask({"model": "null", "image": uri}, path="/v1/embeddings").result()
    assert answer.status_code == 200, answer.text
    assert answer.headers["x-embedding-shape"] == ",".join(map(str, EMBEDDING_SHAPE))
    assert len(answer.content) == 2 * 4 * 8 * 8
    again = ask({"model": "null"}, picture(), "/v1/embeddings", If_None_Match=answer.headers["etag"]).result()
    assert again.status_code == 304
    deep = ask({"model": "null", "depth": "full_range"}, picture(), "/v1/embeddings").result()
    assert deep.headers["etag"] != answer.headers["etag"]


def test_a_worker_answers_for_each_of_its_models(start_worker: Start, settings: Settings, ask: Ask) -> None:
    start_worker(models=("null", "sam_tiny"))
    for name in ("null", "sam_tiny"):
        registered(settings, name)
        answer = ask(AUTO | {"model": name, "task": {"type": "auto", "points_per_side": 2}}, picture()).result()
        assert (answer.status_code, answer.json()["model"]) == (200, name), answer.text


def test_what_is_not_allowed_is_refused_by_the_worker_too(
    start_worker: Start, settings: Settings, ask: Ask, bucket: Bucket
) -> None:
    """The API of this test allows every bucket."""
    start_worker(buckets=("other",))
    registered(settings)
    answer = ask(AUTO | {"image": bucket.put("a.jpg", picture())}).result()
    assert (answer.status_code, answer.json()["reason"]) == (422, "BUCKET_NOT_ALLOWED")


def test_a_worker_that_stops_answers_what_it_has(start_worker: Start, settings: Settings, held: Held, ask: Ask) -> None:
    worker = start_worker()
    registered(settings)
    asked = ask(AUTO, picture())
    until("the batch", lambda: held.begun)
    worker.stopping.set()
    held.may_end.release()
    worker.stop()
    assert not [thread.name for thread in threading.enumerate() if thread.name.startswith("calls-")]
    assert asked.result().status_code == 200
    refused = ask(AUTO, picture()).result()
    assert (refused.status_code, refused.json()["reason"]) == (503, "NO_WORKER")


def test_a_worker_that_stops_says_what_it_does_not_answer(
    start_worker: Start, settings: Settings, held: Held, ask: Ask
) -> None:
    worker = start_worker()
    registered(settings)
    asked = ask(AUTO, picture())
    until("the batch", lambda: held.begun)
    worker.stop()
    answer = asked.result()
    assert (answer.status_code, answer.json()["reason"]) == (503, "WORKER_LOST")


def test_a_suspect_is_alone(
    engine: Engine, bucket: Bucket, start_worker: Start, settings: Settings, held: Held, ask: Ask
) -> None:
    """A call's image that kills the process must not be charged to an image of a job."""
    worker = start_worker()
    registered(settings)
    job = submit(engine, [bucket.put("a.jpg", picture(20, 40))])
    with engine.begin() as connection:
        connection.execute(text("INSERT INTO suspects (job_id, index) VALUES (:job, 0)"), {"job": job})
    bulk = threading.Thread(target=worker.segment_chunk, args=(job, 0))
    bulk.start()
    until("the suspect's batch", lambda: held.begun == [40])
    asked = ask(AUTO, picture(20, 50))
    with redis.Redis.from_url(settings.redis_url) as client:
        until("the call is taken", lambda: client.keys("now:1:taken:*"))
    assert held.sizes_seen == [(20, 40)]
    held.may_end.release()
    bulk.join()
    held.may_end.release()
    assert asked.result().status_code == 200 and held.begun == [40, 50]


def test_nothing_in_redis_ends_the_threads(start_worker: Start, settings: Settings, ask: Ask) -> None:
    start_worker()
    registered(settings)
    with redis.Redis.from_url(settings.redis_url) as client:
        messages = [
            b"",
            b"5\n",
            b"{}\n",
            b'{"model":"sam_vit_h","seconds":1}\n',
            b'{"model":"null","seconds":1}\n',
            b"\xff",
        ]
        for i, raw in enumerate(messages):
            client.set(f"now:1:call:{i}", raw, px=60_000)
            client.lpush(queue_key("null"), str(i))
        client.lpush(queue_key("null"), b"\xff\xfe")
        assert ask(AUTO, picture()).result().status_code == 200
        assert client.llen(queue_key("null")) == 0 and client.keys("now:1:call:*") == []


def test_a_redis_that_was_away(start_worker: Start, settings: Settings, ask: Ask) -> None:
    """The worker's connections are cut, and what it said in Redis is gone."""
    start_worker()
    registered(settings)
    with redis.Redis.from_url(settings.redis_url) as client:
        client.flushall()
        client.client_kill_filter(_type="normal")
    registered(settings)
    assert ask(AUTO, picture()).result().status_code == 200
