"""Counts and item states, over every state that a job and its chunks can be in: they agree and add up."""

from collections import Counter
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import func, insert, select, update

from db.endings import stop_job
from db.ids import read_job_id
from db.statements import lease
from db.states import ChunkState, ItemReason, ItemState, JobReason
from db.tables import chunks, workers
from tests.api.conftest import Service, failure_row, result_row

pytestmark = pytest.mark.anyio


async def states_of(service: Service, job_id: str) -> Counter[str]:
    items = (await service.client.get(f"/v1/jobs/{job_id}/items?page_size=1000")).json()["items"]
    return Counter(i["state"] for i in items)


async def check(service: Service, job_id: str) -> dict[str, int]:
    """The counts, after holding them against the total, the items one by one, and each list by state."""
    counts: dict[str, int] = (await service.job(job_id))["counts"]
    assert sum(n for name, n in counts.items() if name != "total") == counts["total"]
    assert await states_of(service, job_id) == Counter({k: n for k, n in counts.items() if k != "total" and n})
    for state in ItemState:
        page = (await service.client.get(f"/v1/jobs/{job_id}/items?state={state.value}&page_size=1000")).json()
        assert len(page["items"]) == counts[state.value]
        assert {i["state"] for i in page["items"]} <= {state.value}
    return counts


def stop_for(service: Service, job_id: str, reason: JobReason) -> None:
    job = read_job_id(job_id)
    assert job is not None
    with service.engine.begin() as connection:
        assert stop_job(connection, job, reason)


async def half_done(service: Service) -> tuple[str, lease.Fence]:
    """128 items in chunks of 2: one chunk done, one leased with a success and one with a failure, one dispatched."""
    job: dict[str, Any] = await service.submit(128)
    done = service.claim(job["id"], 0)
    service.write(done, {0: result_row([]), 1: failure_row(ItemReason.TIMEOUT)})
    service.complete(done)
    service.write(service.claim(job["id"], 1), {2: result_row([])})
    held = service.claim(job["id"], 2)
    service.write(held, {5: failure_row(ItemReason.DECODE_FAILED)})
    with service.engine.begin() as connection:
        connection.execute(
            update(chunks)
            .where(chunks.c.job_id == read_job_id(job["id"]), chunks.c.chunk_no == 3)
            .values(state=ChunkState.DISPATCHED, dispatched_at=func.clock_timestamp())
        )
    return job["id"], held


async def test_a_running_job(service: Service) -> None:
    job, _ = await half_done(service)
    assert await check(service, job) == {
        "total": 128, "pending": 122, "running": 2, "succeeded": 2, "failed": 2, "cancelled": 0, "expired": 0,
    }  # fmt: skip
    progress = (await service.job(job))["progress"]
    assert progress["fraction"] == pytest.approx(4 / 128, abs=1e-4)
    assert progress["items_per_second"] > 0 and progress["eta_seconds"] is None, "no worker has its model"


async def test_a_chunk_given_back(service: Service) -> None:
    job, held = await half_done(service)
    with service.engine.begin() as connection:
        connection.execute(*lease.give_back(held)).one()
    counts = await check(service, job)
    assert (counts["pending"], counts["running"]) == (123, 1)


@pytest.mark.parametrize(
    ("reason", "state", "rest"),
    [
        (JobReason.CANCELLED_BY_CLIENT, "cancelled", "cancelled"),
        (JobReason.DEADLINE_EXCEEDED, "expired", "expired"),
        (JobReason.FAILURE_RATIO_EXCEEDED, "failed", "cancelled"),
    ],
)
async def test_a_stopped_job(service: Service, reason: JobReason, state: str, rest: str) -> None:
    job, _ = await half_done(service)
    stop_for(service, job, reason)
    counts = await check(service, job)
    assert (await service.job(job))["state"] == state
    assert (counts["succeeded"], counts["failed"], counts[rest]) == (2, 2, 124)
    assert (await service.job(job))["error"]["reason"] == reason


async def test_a_listing_that_was_stopped(service: Service) -> None:
    given = {"task": {"type": "auto"}, "input": {"prefix": "s3://bucket/"}}
    job = (await service.client.post("/v1/jobs", json=given)).json()["id"]
    stop_for(service, job, JobReason.INPUT_EMPTY)
    assert await check(service, job) == dict.fromkeys(("total", *ItemState), 0)
    read = await service.job(job)
    assert (read["state"], read["error"]["reason"], read["progress"]["fraction"]) == ("failed", "INPUT_EMPTY", 0.0)


async def test_a_job_waits_for_a_worker_with_its_model(service: Service) -> None:
    job = (await service.submit(1, model="null"))["id"]
    assert (await service.job(job))["waiting_for"] == "NO_WORKER"

    def register(model: str, age: timedelta) -> None:
        seen = func.clock_timestamp() - age
        row = {"id": f"{service.tenant}-{model}-{age}", "model": model, "model_revision": "r", "device": "cpu"}
        more = {"precision": "exact", "slots": 2, "loaded_at": seen, "seen_at": seen}
        with service.engine.begin() as connection:
            connection.execute(insert(workers).values(**row, **more))

    register("sam_tiny", timedelta(0))
    assert (await service.job(job))["waiting_for"] == "NO_WORKER"
    register("null", timedelta(seconds=31))
    assert (await service.job(job))["waiting_for"] == "NO_WORKER"
    register("null", timedelta(seconds=5))
    assert (await service.job(job))["waiting_for"] is None
    with service.engine.begin() as connection:
        connection.execute(workers.delete())


async def test_failures_are_summed_over_chunks(service: Service) -> None:
    job, _ = await half_done(service)
    third = service.claim(job, 4)
    service.write(third, {8: failure_row(ItemReason.TIMEOUT), 9: failure_row(ItemReason.INTERNAL)})
    assert (await service.job(job))["failures"] == [
        {"reason": "TIMEOUT", "count": 2},
        {"reason": "DECODE_FAILED", "count": 1},
        {"reason": "INTERNAL", "count": 1},
    ]
    with service.engine.connect() as connection:
        errors = select(func.sum(chunks.c.n_err)).where(chunks.c.job_id == read_job_id(job))
        assert connection.execute(errors).scalar_one() == 4


async def test_items_of_one_state_come_in_pages(service: Service) -> None:
    """Chunks of 2: the pages skip chunks that hold none, and begin again inside of one."""
    job = (await service.submit(128))["id"]
    for chunk in (0, 20, 21, 63):
        service.write(service.claim(job, chunk), {chunk * 2: result_row([])})

    async def indexes(state: str) -> list[int]:
        seen: list[int] = []
        params = {"state": state, "page_size": "3"}
        while True:
            page = (await service.client.get(f"/v1/jobs/{job}/items", params=params)).json()
            seen += [i["index"] for i in page["items"]]
            if "next_page_token" not in page:
                return seen
            params["page_token"] = page["next_page_token"]

    held = {0, 1, 40, 41, 42, 43, 126, 127}
    assert await indexes("succeeded") == [0, 40, 42, 126]
    assert await indexes("running") == [1, 41, 43, 127]
    assert await indexes("pending") == [i for i in range(128) if i not in held]
    assert await indexes("failed") == await indexes("cancelled") == await indexes("expired") == []
