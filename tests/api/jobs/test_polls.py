"""The short way of a poll gives what the long way gives, and the long way is there whenever the short one is not."""

import asyncio
import logging
from typing import Any

import pytest
from sqlalchemy import text

from api.errors import JobNotFound
from api.jobs.polls import JobReader
from api.jobs.views import job_view
from db.engine import async_engine
from db.ids import new_job_id
from db.statements import read
from db.states import FINAL_JOB_STATES, ItemReason, JobReason
from tests.api.conftest import Service, _uuid, failure_row, result_row
from tests.api.jobs.test_counts import half_done, stop_for

pytestmark = pytest.mark.anyio

LONG_WAY = "goes the long way"
OTHERS_END = text(
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
    "WHERE pid <> pg_backend_pid() AND datname = current_database()"
)
WAITING_END = text(
    "SELECT count(pg_cancel_backend(pid)) FROM pg_stat_activity "
    "WHERE wait_event_type = 'Lock' AND datname = current_database()"
)


def _reader(service: Service) -> JobReader:
    app: Any = service.client._transport.app  # type: ignore[attr-defined]
    reader: JobReader = app.state.polls
    return reader


async def _ready(service: Service) -> JobReader:
    reader = _reader(service)
    await reader._pool.wait(timeout=10)
    return reader


async def _jobs(service: Service) -> list[str]:
    """One of every kind: new, half done, done with and without failures, stopped for each reason."""
    new = (await service.submit(3, name="n", labels={"a": "100%", "b": "'"}))["id"]
    half, _ = await half_done(service)
    done = (await service.submit(2))["id"]
    service.work(done, lambda _: result_row([]), 2)
    failed = (await service.submit(2))["id"]
    service.work(failed, lambda i: failure_row(ItemReason.TIMEOUT) if i else result_row([]), 2)
    stopped = []
    for reason in JobReason:
        if reason in (JobReason.CANCELLED_BY_CLIENT, JobReason.DEADLINE_EXCEEDED, JobReason.FAILURE_RATIO_EXCEEDED):
            job, _ = await half_done(service)
            stop_for(service, job, reason)
            stopped.append(job)
    return [new, half, done, failed, *stopped]


async def test_both_ways_give_the_same(service: Service, caplog: pytest.LogCaptureFixture) -> None:
    reader = await _ready(service)
    usual = async_engine(service.database)
    caplog.set_level(logging.INFO, "maskworks.api")
    seen = set()
    for shown in await _jobs(service):
        short = await reader.job(service.tenant, _uuid(shown))
        async with usual.connect() as connection:
            mine = {"tenant": service.tenant, "job_id": _uuid(shown)}
            long = job_view((await connection.execute(read.JOB, mine)).one())
        moving = {"progress"}  # of an open job: it depends on the moment
        assert short.model_dump(exclude=moving) == long.model_dump(exclude=moving)
        if short.done:
            assert short == long
        seen.add(short.state)
    assert len(seen & FINAL_JOB_STATES) >= 4
    assert LONG_WAY not in caplog.text
    await usual.dispose()


async def test_another_s_job_is_none(service: Service) -> None:
    reader = await _ready(service)
    job = (await service.submit())["id"]
    for tenant, job_id in (("somebody", _uuid(job)), (service.tenant, new_job_id())):
        with pytest.raises(JobNotFound):
            await reader.job(tenant, job_id)


async def test_a_dead_connection_costs_no_poll(service: Service, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "maskworks.api")
    await _ready(service)
    job = (await service.submit())["id"]
    for _ in range(3):
        with service.engine.begin() as connection:
            connection.execute(OTHERS_END)
        assert (await service.client.get(f"/v1/jobs/{job}")).status_code == 200
    assert LONG_WAY in caplog.text
    await _ready(service)  # and comes back by itself
    caplog.clear()
    for _ in range(50):
        assert (await service.client.get(f"/v1/jobs/{job}")).status_code == 200
        if LONG_WAY not in caplog.text:
            return
        caplog.clear()
        await asyncio.sleep(0.2)
    pytest.fail("every poll still goes the long way")


async def test_what_a_living_database_answers_is_the_answer(service: Service, caplog: pytest.LogCaptureFixture) -> None:
    """A poll that waited for a lock in vain must not wait for it once more."""
    caplog.set_level(logging.INFO, "maskworks.api")
    await _ready(service)
    job = (await service.submit())["id"]
    assert (await service.client.get(f"/v1/jobs/{job}")).status_code == 200
    with service.engine.begin() as connection:
        connection.execute(text("LOCK TABLE jobs IN ACCESS EXCLUSIVE MODE"))
        asked = asyncio.create_task(service.client.get(f"/v1/jobs/{job}"))
        cancelled = 0
        while not cancelled:
            await asyncio.sleep(0.05)
            cancelled = connection.execute(WAITING_END).scalar_one()
        answer = await asked
    assert answer.status_code == 503 and answer.json()["reason"] == "DATABASE_UNAVAILABLE"
    assert LONG_WAY not in caplog.text


async def test_with_none_free_the_long_way_is_taken(service: Service, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "maskworks.api")
    reader = await _ready(service)
    job = (await service.submit())["id"]
    held = [await reader._pool.getconn(timeout=5) for _ in range(reader._pool.max_size)]
    assert (await service.client.get(f"/v1/jobs/{job}")).status_code == 200
    assert LONG_WAY in caplog.text
    for connection in held:
        await reader._pool.putconn(connection)


async def test_before_it_is_open_the_long_way_is_taken(service: Service) -> None:
    job = (await service.submit())["id"]
    usual = async_engine(service.database)
    reader = JobReader(service.database, usual)
    assert (await reader.job(service.tenant, _uuid(job))).id == job
    await usual.dispose()
