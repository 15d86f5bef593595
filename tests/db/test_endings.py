"""How a job ends, by a sync and by an async connection."""

import asyncio
from collections.abc import Callable, Iterator
from uuid import UUID

import pytest
from sqlalchemy import Engine

from db import endings
from db.engine import async_engine, sync_engine
from db.ids import new_job_id
from db.statements import lease
from db.states import ChunkState, JobReason, JobState
from tests.jobs import chunk_rows, events, job_row, submit

Stop = Callable[[UUID, JobReason], bool]


@pytest.fixture
def engine(database: str) -> Iterator[Engine]:
    engine = sync_engine(database)
    yield engine
    engine.dispose()


@pytest.fixture(params=["sync", "async"])
def stop(request: pytest.FixtureRequest, database: str, engine: Engine) -> Stop:
    def sync(job_id: UUID, reason: JobReason) -> bool:
        with engine.begin() as connection:
            return endings.stop_job(connection, job_id, reason, "why")

    async def on_a_loop(job_id: UUID, reason: JobReason) -> bool:
        front_door = async_engine(database, pool_size=1)
        async with front_door.begin() as connection:
            stopped = await connection.run_sync(endings.stop_job, job_id, reason, "why")
        await front_door.dispose()
        return stopped

    return sync if request.param == "sync" else lambda job_id, reason: asyncio.run(on_a_loop(job_id, reason))


def claimed(engine: Engine, job_id: UUID) -> lease.Fence:
    with engine.begin() as connection:
        connection.execute(*lease.start_job(job_id))
        row = connection.execute(*lease.claim(job_id, 0, worker="w", lease_seconds=60)).one()
    return lease.Fence(job_id, 0, row.fence)


def n_events(engine: Engine, job_id: UUID) -> int:
    with engine.connect() as connection:
        return events(connection, job_id)


def test_a_stopped_job_takes_its_chunks_from_their_workers(engine: Engine, stop: Stop) -> None:
    job_id = submit(engine, ["s3://b/k"] * 4, size=2)
    fence = claimed(engine, job_id)
    assert stop(job_id, JobReason.DEADLINE_EXCEEDED)
    job = job_row(engine, job_id)
    assert (job.state, job.error_reason, job.error_detail) == (JobState.EXPIRED, "DEADLINE_EXCEEDED", "why")
    assert {chunk.state for chunk in chunk_rows(engine, job_id)} == {ChunkState.CANCELLED}
    with engine.begin() as connection:
        assert connection.execute(*lease.renew(fence, lease_seconds=60)).one_or_none() is None


def test_a_job_ends_once(engine: Engine, stop: Stop) -> None:
    job_id = submit(engine, ["s3://b/k"] * 4, size=2)
    assert stop(job_id, JobReason.CANCELLED_BY_CLIENT)
    assert not stop(job_id, JobReason.DEADLINE_EXCEEDED)
    assert job_row(engine, job_id).state == JobState.CANCELLED and n_events(engine, job_id) == 1
    assert not stop(new_job_id(), JobReason.CANCELLED_BY_CLIENT)


def test_a_job_finishes_with_its_last_chunk(engine: Engine) -> None:
    job_id = submit(engine, ["s3://b/k"], size=1)
    fence = claimed(engine, job_id)
    with engine.begin() as connection:
        assert not endings.finish_job(connection, job_id)
        counts = lease.record(fence, lease_seconds=60, more_ok=1, reasons={}, inflight=[])
        connection.execute(*counts)
        connection.execute(*lease.complete(fence)).one()
    with engine.begin() as connection:
        assert endings.finish_job(connection, job_id)
        assert not endings.finish_job(connection, job_id)
    assert job_row(engine, job_id).state == JobState.SUCCEEDED and n_events(engine, job_id) == 1
