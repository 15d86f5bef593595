import asyncio
import time
from uuid import UUID

import pytest
from sqlalchemy import select, update

from db.ids import read_job_id
from db.statements.retention import removed_jobs
from db.states import ItemReason
from db.tables import chunks, jobs, outbox
from tests.api.conftest import Service, failure_row, new_tenant, result_row, serving, settings, some_masks

pytestmark = pytest.mark.anyio


async def test_jobs_are_listed_newest_first_page_by_page(service: Service) -> None:
    ids = [(await service.submit(1))["id"] for _ in range(5)]
    seen: list[str] = []
    token: str | None = None
    for size in (2, 2, 1):
        page = (
            await service.client.get("/v1/jobs", params={"page_size": 2, **({"page_token": token} if token else {})})
        ).json()
        assert len(page["jobs"]) == size
        seen += [j["id"] for j in page["jobs"]]
        token = page.get("next_page_token")
    assert seen == ids[::-1] and token is None


async def test_jobs_are_found_by_state_and_labels(service: Service) -> None:
    one = await service.submit(1, labels={"run": "7", "site/a": "x"})
    two = await service.submit(1, labels={"run": "7"})
    await service.client.post(f"/v1/jobs/{two['id']}:cancel")

    async def found(query: str) -> list[str]:
        return [j["id"] for j in (await service.client.get(f"/v1/jobs?{query}")).json()["jobs"]]

    assert await found("label.run=7") == [two["id"], one["id"]]
    assert await found("label.run=7&label.site/a=x") == [one["id"]]
    assert await found("label.run=8") == []
    assert await found("state=cancelled") == [two["id"]]
    assert await found("state=pending&label.run=7") == [one["id"]]


@pytest.mark.parametrize(
    "query", ["state=gone", "page_size=0", "page_size=1001", "page_size=x", "page_token=!", "page_token=0000000g",
              "page_token=ä", "label.a=%00"]
)  # fmt: skip
async def test_unusable_parameters(service: Service, query: str) -> None:
    answer = await service.client.get(f"/v1/jobs?{query}")
    assert (answer.status_code, answer.json()["reason"]) == (422, "INVALID_PARAMETER")
    assert answer.json()["errors"][0]["pointer"] == "/" + query.partition("=")[0]


@pytest.mark.parametrize("suffix", ["", "/items", "/items/0", "/items/0/masks", "/results"])
@pytest.mark.parametrize("job_id", ["job_x", "job_" + "0" * 32, "x", str(UUID(int=1))])
async def test_an_unknown_job(service: Service, suffix: str, job_id: str) -> None:
    answer = await service.client.get(f"/v1/jobs/{job_id}{suffix}")
    assert (answer.status_code, answer.json()["reason"]) == (404, "JOB_NOT_FOUND")


async def test_a_foreign_job_is_an_unknown_one(service: Service) -> None:
    mine = (await service.submit(1))["id"]
    _, other = new_tenant(service.engine)
    async with serving(settings(service.database), other) as stranger:
        calls = [
            await stranger.get(f"/v1/jobs/{mine}"),
            await stranger.get(f"/v1/jobs/{mine}/items"),
            await stranger.get(f"/v1/jobs/{mine}/results"),
            await stranger.post(f"/v1/jobs/{mine}:cancel"),
            await stranger.delete(f"/v1/jobs/{mine}"),
        ]
        listed = (await stranger.get("/v1/jobs")).json()["jobs"]
    assert {(c.status_code, c.json()["reason"]) for c in calls} == {(404, "JOB_NOT_FOUND")}
    assert listed == []
    assert (await service.job(mine))["state"] == "pending"


async def test_the_etag_follows_the_counts(service: Service) -> None:
    job = await service.submit(3)
    url = f"/v1/jobs/{job['id']}"
    first = (await service.client.get(url)).headers["etag"]
    again = await service.client.get(url, headers={"If-None-Match": first})
    assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", first)
    listed = await service.client.get(url, headers={"If-None-Match": f'"x", W/{first}'})
    assert listed.status_code == 304
    service.write(service.claim(job["id"]), {0: result_row([])})
    changed = await service.client.get(url, headers={"If-None-Match": first})
    assert changed.status_code == 200 and changed.headers["etag"] != first


async def test_waiting_ends_with_the_change(service: Service) -> None:
    job = await service.submit(2)
    url = f"/v1/jobs/{job['id']}?wait=30"
    etag = (await service.client.get(f"/v1/jobs/{job['id']}")).headers["etag"]
    start = time.monotonic()
    waiting = asyncio.create_task(service.client.get(url, headers={"If-None-Match": etag}))
    await asyncio.sleep(0.3)
    assert not waiting.done()
    fence = service.claim(job["id"])
    answer = await waiting
    assert time.monotonic() - start < 5
    assert (answer.status_code, answer.json()["state"]) == (200, "running")
    ending = asyncio.create_task(service.client.get(url))
    service.write(fence, {0: result_row([])})
    await asyncio.sleep(0.3)
    assert not ending.done(), "without an ETag only the end is waited for"
    service.complete(fence)
    second = service.claim(job["id"], 1)
    service.write(second, {1: result_row([])})
    service.complete(second)
    service.finish(job["id"])
    assert (await ending).json()["state"] == "succeeded"


async def test_waiting_ends_with_the_time(service: Service) -> None:
    job = await service.submit(1)
    url = f"/v1/jobs/{job['id']}?wait=0.5"
    start = time.monotonic()
    etag = (await service.client.get(url)).headers["etag"]
    assert (await service.client.get(url, headers={"If-None-Match": etag})).status_code == 304
    assert 1.0 <= time.monotonic() - start < 5
    assert (await service.client.get(f"/v1/jobs/{job['id']}?wait=61")).status_code == 422


async def test_a_worked_off_job(service: Service) -> None:
    job = await service.submit(4)
    rows = [result_row(some_masks(2)), failure_row(ItemReason.DECODE_FAILED), failure_row(ItemReason.OBJECT_NOT_FOUND),
            failure_row(ItemReason.DECODE_FAILED)]  # fmt: skip
    service.work(job["id"], rows.__getitem__, 4)
    done = await service.job(job["id"])
    assert (done["state"], done["done"], done["error"], done["waiting_for"]) == (
        "partially_succeeded",
        True,
        None,
        None,
    )
    assert done["failures"] == [{"reason": "DECODE_FAILED", "count": 2}, {"reason": "OBJECT_NOT_FOUND", "count": 1}]
    assert done["progress"]["fraction"] == 1.0 and done["progress"]["eta_seconds"] == 0
    assert done["progress"]["items_per_second"] > 0
    assert done["create_time"] <= done["start_time"] <= done["end_time"]


async def test_cancelling_twice_is_cancelling_once(service: Service) -> None:
    job = await service.submit(3)
    fence = service.claim(job["id"])
    service.write(fence, {0: result_row(some_masks(1))})
    first = await service.client.post(f"/v1/jobs/{job['id']}:cancel")
    second = await service.client.post(f"/v1/jobs/{job['id']}:cancel")
    assert (first.status_code, second.status_code) == (200, 200)
    assert first.json() == second.json()
    assert first.json()["state"] == "cancelled"
    assert first.json()["error"] == {"reason": "CANCELLED_BY_CLIENT", "detail": None}
    assert (first.json()["counts"]["succeeded"], first.json()["counts"]["cancelled"]) == (1, 2)
    masks = (await service.client.get(f"/v1/jobs/{job['id']}/items/0/masks")).json()["masks"]
    assert len(masks) == 1, "finished items keep their results"
    with service.engine.connect() as connection:
        events = connection.execute(select(outbox.c.kind).where(outbox.c.job_id == fence.job_id)).scalars().all()
        assert len(events) == 1
        held = connection.execute(select(chunks.c.state).where(chunks.c.job_id == fence.job_id)).scalars().all()
    assert {s.value for s in held} == {"cancelled"}


async def test_cancelling_a_done_job_changes_nothing(service: Service) -> None:
    job = await service.submit(1)
    service.work(job["id"], lambda _: result_row([]), 1)
    answer = await service.client.post(f"/v1/jobs/{job['id']}:cancel")
    assert (answer.status_code, answer.json()["state"], answer.json()["error"]) == (200, "succeeded", None)


async def test_cancelling_while_a_prefix_is_listed(service: Service) -> None:
    given = {"task": {"type": "auto"}, "input": {"prefix": "s3://bucket/"}}
    job = (await service.client.post("/v1/jobs", json=given)).json()
    with service.engine.begin() as connection:
        connection.execute(update(jobs).where(jobs.c.id == read_job_id(job["id"])).values(n_items=7))
    listing = await service.job(job["id"])
    assert (listing["state"], listing["counts"]["pending"], listing["counts"]["total"]) == ("ingesting", 7, 7)
    answer = (await service.client.post(f"/v1/jobs/{job['id']}:cancel")).json()
    assert (answer["state"], answer["counts"]["cancelled"], answer["counts"]["pending"]) == ("cancelled", 7, 0)


async def test_eight_cancels_at_once_end_a_job_once(service: Service) -> None:
    job = await service.submit(50)
    answers = await asyncio.gather(*[service.client.post(f"/v1/jobs/{job['id']}:cancel") for _ in range(8)])
    assert {(a.status_code, a.json()["state"]) for a in answers} == {(200, "cancelled")}
    with service.engine.connect() as connection:
        query = select(outbox.c.id).where(outbox.c.job_id == read_job_id(job["id"]))
        assert len(connection.execute(query).all()) == 1


async def test_only_a_done_job_can_be_deleted(service: Service) -> None:
    job = await service.submit(2)
    early = await service.client.delete(f"/v1/jobs/{job['id']}")
    assert (early.status_code, early.json()["reason"]) == (409, "JOB_NOT_DONE")
    kept = await service.submit(1)
    service.work(job["id"], lambda _: result_row(some_masks(1)), 2)
    assert (await service.client.delete(f"/v1/jobs/{job['id']}")).status_code == 204
    assert (await service.client.get(f"/v1/jobs/{job['id']}")).status_code == 404
    assert (await service.client.delete(f"/v1/jobs/{job['id']}")).status_code == 404
    with service.engine.connect() as connection:
        removed = connection.execute(*removed_jobs(most=10)).scalars().all()
    assert removed == [read_job_id(job["id"])], "the leader removes the rows of these"
    assert (await service.job(kept["id"]))["state"] == "pending"


async def test_links_lead_somewhere(service: Service) -> None:
    links = (await service.submit(1))["links"]
    for name in ("self", "items", "results"):
        assert (await service.client.get(links[name])).status_code == 200
    assert (await service.client.post(links["cancel"])).status_code == 200
