"""A worker on real stores beside objects that drip and buckets that throttle: slots, leases and items come back."""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import Engine, select

from db.endings import stop_job
from db.states import ChunkState, JobReason, JobState
from db.tables import chunks
from tests.jobs import check_invariants, chunk_rows, job_row, picture, result_rows, submit
from tests.waiting import wait_for
from tests.workers import hostile_s3
from tests.workers.hostile_s3 import HostileS3, send, send_error
from workers.chunks.chunk import End
from workers.chunks.slots import Slots
from workers.pipeline import fetching
from workers.worker import Worker

PICTURE = picture()


@pytest.fixture
def server() -> Iterator[HostileS3]:
    """Drips whatever has `drip` in its key; the rest are pictures."""
    with hostile_s3.hostile_s3() as running:

        def answer(connection: Any, head: str) -> None:
            if "/drip" in head:
                hostile_s3.drip(connection)
            else:
                send(connection, PICTURE)

        running.answer = answer
        yield running


@pytest.fixture
def start(
    start_worker: Callable[..., Worker], server: HostileS3, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Worker]:
    monkeypatch.setattr(fetching, "_SLOW", 0.3)
    here = {"s3_endpoint_url": server.url, "buckets": ("b",), "slots": 2, "fetch_threads": 4, "lease_seconds": 1.5}
    return lambda **changes: start_worker(**here | changes)


def slow(count: int) -> list[str]:
    return [f"s3://b/drip/{i}.jpg" for i in range(count)]


@pytest.mark.parametrize("chunk", [1, 8])
def test_a_small_job_beside_dripping_objects(
    engine: Engine, server: HostileS3, start: Callable[..., Worker], chunk: int
) -> None:
    dripping = submit(engine, slow(8), size=chunk)
    small = submit(engine, ["s3://b/a.jpg", "s3://b/b.jpg"], size=1)
    worker = start()
    with ThreadPoolExecutor(2) as slots:
        served = [(dripping, n) for n in range(8 // chunk)] + [(small, 0), (small, 1)]
        for one in [slots.submit(worker.slots.serve, *each) for each in served]:
            one.result(timeout=60)
        wait_for(lambda: job_row(engine, small).state == JobState.SUCCEEDED)
    assert server.open == 8 and result_rows(engine, dripping) == []
    assert {row.state for row in chunk_rows(engine, dripping)} == {ChunkState.LEASED}
    assert len(result_rows(engine, small)) == 2


def test_a_chunk_aside_goes_on_and_ends(engine: Engine, server: HostileS3, start: Callable[..., Worker]) -> None:
    ready = threading.Event()

    def late(connection: Any, _head: str) -> None:
        ready.wait(60)
        send(connection, PICTURE)

    server.answer = late
    job = submit(engine, [f"s3://b/{i}.jpg" for i in range(3)])
    start().slots.serve(job, 0)
    assert job_row(engine, job).state == JobState.RUNNING
    time.sleep(2)  # longer than a lease: the heartbeat keeps it
    ready.set()
    wait_for(lambda: job_row(engine, job).state == JobState.SUCCEEDED)
    assert chunk_rows(engine, job)[0].attempts == 1
    check_invariants(engine, job)


def test_a_worker_that_stops_gives_back_what_is_aside(engine: Engine, start: Callable[..., Worker]) -> None:
    job = submit(engine, slow(3))
    worker = start()
    worker.slots.serve(job, 0)
    worker.stop()
    row = chunk_rows(engine, job)[0]
    assert (row.state, row.attempts, row.worker, row.inflight) == (ChunkState.READY, 0, None, [])


def test_a_worker_that_stops_waits_for_its_chunks(
    engine: Engine, server: HostileS3, start: Callable[..., Worker]
) -> None:
    """Another transaction has the row that the chunk gives its lease back in."""
    job = submit(engine, slow(3))
    worker = start()
    threading.Thread(target=worker.segment_chunk, args=(job, 0)).start()
    wait_for(lambda: server.open == 3)
    stopping = threading.Thread(target=worker.stop)
    with engine.begin() as connection:
        connection.execute(select(chunks).where(chunks.c.job_id == job).with_for_update())
        stopping.start()
        stopping.join(1)
        assert stopping.is_alive()
    stopping.join()
    assert chunk_rows(engine, job)[0].state == ChunkState.READY


def test_cancelling_frees_the_slot(engine: Engine, server: HostileS3, start: Callable[..., Worker]) -> None:
    job = submit(engine, slow(6))
    worker = start()
    ends: list[End | None] = []
    thread = threading.Thread(target=lambda: ends.append(worker.segment_chunk(job, 0)))
    thread.start()
    wait_for(lambda: server.open == 6)
    with engine.begin() as connection:
        stop_job(connection, job, JobReason.CANCELLED_BY_CLIENT)
    thread.join(5)
    assert ends == [End.LOST]
    wait_for(lambda: server.open == 0, 5)
    assert result_rows(engine, job) == [] and job_row(engine, job).state == JobState.CANCELLED


def test_an_overdue_object_fails_its_item(engine: Engine, start: Callable[..., Worker]) -> None:
    job = submit(engine, [*slow(2), "s3://b/a.jpg"])
    assert start(fetch_seconds=1).segment_chunk(job, 0) is End.DONE
    rows = result_rows(engine, job)
    assert [(row.reason, row.retryable) for row in rows[:2]] == [("TIMEOUT", True)] * 2
    assert rows[2].reason is None
    check_invariants(engine, job)


def test_a_throttled_chunk_is_given_back_and_loses_nothing(
    engine: Engine, server: HostileS3, start: Callable[..., Worker]
) -> None:
    healthy = server.answer
    server.answer = lambda connection, _: send_error(connection, "503 Slow Down", "SlowDown")
    job = submit(engine, [f"s3://b/{i}.jpg" for i in range(16)])
    worker = start(chunk_seconds=1)
    for _ in range(2):
        assert worker.segment_chunk(job, 0) is End.GIVEN_BACK
        row = chunk_rows(engine, job)[0]
        assert (row.state, row.attempts, row.stalls) == (ChunkState.READY, 0, 0)
    assert result_rows(engine, job) == []
    server.answer = healthy
    ends = [End.GIVEN_BACK]
    while ends[-1] is End.GIVEN_BACK:
        ends.append(worker.segment_chunk(job, 0))  # type: ignore[arg-type]
    assert ends[-1] is End.DONE and job_row(engine, job).state == JobState.SUCCEEDED
    check_invariants(engine, job)


def test_an_unexpected_error_frees_the_slot(caplog: pytest.LogCaptureFixture) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("nobody expected this")

    Slots(broken).serve(uuid4(), 3)
    assert "nobody expected this" in caplog.text and "/3 ended" in caplog.text


def test_chunks_aside_are_bounded(
    engine: Engine, start: Callable[..., Worker], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workers.chunks.slots._MOST_ASIDE", 1)
    jobs: list[UUID] = [submit(engine, slow(1)) for _ in range(2)]
    worker = start()
    worker.slots.serve(jobs[0], 0)
    second = threading.Thread(target=worker.slots.serve, args=(jobs[1], 0))
    second.start()
    second.join(2)
    assert second.is_alive()
    with engine.begin() as connection:
        stop_job(connection, jobs[0], JobReason.CANCELLED_BY_CLIENT)
    second.join(10)
    assert not second.is_alive()
