"""The feed: one query a second for every follower, and a database that is away."""

import asyncio
from contextlib import ExitStack
from uuid import UUID

import pytest
from sqlalchemy.exc import OperationalError
from sqlalchemy.ext.asyncio import AsyncEngine

from api.events.feed import Feed, Topic
from api.jobs.views import Job
from db.ids import read_job_id
from tests.api.conftest import Service, result_row, some_masks

pytestmark = pytest.mark.anyio
PLENTY = 60.0


async def followed(service: Service) -> tuple[UUID, Job, str]:
    job = await service.submit(1)
    job_id = read_job_id(job["id"])
    assert job_id is not None
    return job_id, Job.model_validate(job), service.tenant


async def until_done(topic: Topic) -> None:
    while topic.job is not None and not topic.job.done:
        await topic.change(1)


async def test_two_hundred_followers_cost_one_query_at_a_time(service: Service) -> None:
    jobs = [await followed(service) for _ in range(20)]
    feed = Feed(service.client.app.state.reads, pause=0.2)
    with ExitStack() as stack:
        topics = [stack.enter_context(feed.follow(*job)) for job in jobs * 10]
        asked = service.client.statements()
        started = asyncio.get_running_loop().time()
        for _, job, _ in jobs:
            await asyncio.to_thread(service.work, job.id, lambda _: result_row(some_masks(1)), 1)
        async with asyncio.timeout(PLENTY):
            await asyncio.gather(*(until_done(topic) for topic in topics))
        ticks = (asyncio.get_running_loop().time() - started) / 0.2
    assert all(topic.job is not None and topic.job.done for topic in topics)
    assert 1 <= len(asked) <= ticks + 1
    await feed.close()


async def test_nobody_follows_and_nothing_is_read(service: Service) -> None:
    feed = Feed(service.client.app.state.reads, pause=0.01)
    with feed.follow(*await followed(service)) as topic:
        await topic.change(0.05)
    asked = service.client.statements()
    await asyncio.sleep(0.1)
    assert len(asked) <= 1  # the one that was under way


async def test_followers_wait_while_the_database_is_away(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    job_id, job, tenant = await followed(service)
    feed = Feed(service.client.app.state.reads, pause=0.05)
    refused = 0

    def connect(_: AsyncEngine) -> object:
        nonlocal refused
        refused += 1
        raise OperationalError("SELECT 1", {}, Exception("the database is away"))

    with feed.follow(job_id, job, tenant) as topic:
        with monkeypatch.context() as patch:
            patch.setattr(AsyncEngine, "connect", connect)
            async with asyncio.timeout(PLENTY):
                while refused < 3:
                    await asyncio.sleep(0.01)
        await asyncio.to_thread(service.work, job.id, lambda _: result_row(some_masks(1)), 1)
        async with asyncio.timeout(PLENTY):
            await until_done(topic)
    await feed.close()
