"""The client behind a network that loses requests and answers: no job is lost, and none is made twice."""

import asyncio
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import pairwise

import pytest

import maskworks.retries
from deploy.local.stack import Stack
from maskworks import AsyncClient, Client, Config
from tests.client.faulty import KINDS, faulty

SHARE = 0.3


@pytest.fixture(autouse=True)
def hurry(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(maskworks.retries, "FIRST_SECONDS", 0.01)
    yield


def test_events_and_results_come_once_each(client: Client, config: Config, service: Stack) -> None:
    items = [{"image": f"s3://{service.bucket}/nothing/{i}.jpg"} for i in range(20)]
    with faulty(config.url, 0.4) as proxy, Client(config=replace(config, url=proxy.url), retries=20) as behind:
        job = behind.jobs.submit(items=items)
        events = list(job.events())
        assert [event.type for event in events].count("done") == 1 and events[-1].type == "done"
        ids = [event.id for event in events]
        assert all(one != other for one, other in pairwise(ids))
        assert list(job.results()) == list(client.jobs.get(job.id).results())
        assert job.wait().counts.failed == 20
        assert [item.index for item in job.items(page_size=7)] == list(range(20))


@pytest.mark.parametrize("n", [60, pytest.param(1000, marks=pytest.mark.faults)])
def test_no_submit_is_lost_or_doubled(client: Client, config: Config, service: Stack, n: int) -> None:
    run = uuid.uuid4().hex
    items = [{"image": f"s3://{service.bucket}/nothing.jpg"}]

    async def half(config: Config) -> list[str]:
        async with AsyncClient(config=config, retries=20) as client:
            submits = (client.jobs.submit(items=items, labels={"run": run}, name=str(i)) for i in range(0, n, 2))
            return [(await each).id for each in submits]

    with faulty(config.url, SHARE) as proxy:
        there = replace(config, url=proxy.url)
        with Client(config=there, retries=20) as sync, ThreadPoolExecutor(8) as pool:
            others = pool.map(
                lambda i: sync.jobs.submit(items=items, labels={"run": run}, name=str(i)).id, range(1, n, 2)
            )
            ids = [*asyncio.run(half(there)), *others]
        assert set(proxy.happened) == set(KINDS)
    made = [job.record for job in client.jobs.list(labels={"run": run}, page_size=500)]
    assert sorted(int(record.name or "") for record in made) == list(range(n))
    assert sorted(record.id for record in made) == sorted(ids)
