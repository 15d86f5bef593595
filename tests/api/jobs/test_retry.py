"""POST /v1/jobs/{id}:retry: which items it takes, what the new job keeps, and what is refused."""

from typing import Any

import httpx
import pytest

from db.states import ItemReason
from tests.api.conftest import Service, failure_row, new_tenant, result_row, some_masks

pytestmark = pytest.mark.anyio
ITEMS = [{"custom_id": name, "image": f"s3://bucket/{name}.jpg"} for name in "abcd"]


async def half_failed(service: Service, **more: Any) -> dict[str, Any]:
    """A job that is done. Its items b and d failed."""
    job = await service.submit(4, input={"items": ITEMS}, **more)
    good, bad = result_row(some_masks(1)), failure_row(ItemReason.OBJECT_NOT_FOUND)
    service.work(job["id"], lambda i: bad if i % 2 else good, 4)
    return await service.job(job["id"])


async def cancelled(service: Service) -> dict[str, Any]:
    """A cancelled job. Its item a failed, the others have no result."""
    job = await service.submit(4, input={"items": ITEMS})
    fence = service.claim(job["id"])
    service.write(fence, {0: failure_row(ItemReason.TIMEOUT)})
    service.complete(fence)
    answer = await service.client.post(f"/v1/jobs/{job['id']}:cancel")
    shown: dict[str, Any] = answer.json()
    return shown


async def ids(service: Service, job: dict[str, Any]) -> list[str]:
    answer = await service.client.get(f"/v1/jobs/{job['id']}/items")
    return [item["custom_id"] for item in answer.json()["items"]]


async def retried(service: Service, job: dict[str, Any], **given: Any) -> httpx.Response:
    return await service.client.post(f"/v1/jobs/{job['id']}:retry", **given)


async def test_the_failed_items_become_a_job(service: Service) -> None:
    job = await half_failed(service, name="tiles", labels={"run": "7"}, priority=8, precision="fast", reuse=True)
    answer = await retried(service, job)
    assert answer.status_code == 202, answer.text
    new = answer.json()
    assert (answer.headers["location"], new["retry_of"]) == (f"/v1/jobs/{new['id']}", job["id"])
    assert (new["state"], new["counts"]["total"], new["counts"]["pending"]) == ("pending", 2, 2)
    for name in ("name", "labels", "priority", "precision", "model", "task", "reuse"):
        assert new[name] == job[name]
    assert await ids(service, new) == ["b", "d"]


async def test_the_new_job_can_be_worked_off_and_retried_again(service: Service) -> None:
    job = await half_failed(service)
    new = (await retried(service, job)).json()
    service.work(new["id"], lambda i: failure_row(ItemReason.TIMEOUT) if i else result_row(some_masks(1)), 2)
    again = (await retried(service, await service.job(new["id"]))).json()
    assert (again["retry_of"], await ids(service, again)) == (new["id"], ["d"])


async def test_prompts_and_depth_are_kept(service: Service) -> None:
    prompts = [{"id": "p", "points": [[1, 2]], "labels": [1]}]
    items = [{**item, "prompts": prompts} for item in ITEMS]
    job = await service.submit(
        4, task={"type": "prompted"}, input={"items": items, "depth": "percentiles", "bands": [4, 3, 2]}
    )
    service.work(job["id"], lambda _: failure_row(ItemReason.TIMEOUT), 4)
    new = (await retried(service, job)).json()
    assert new["input"] == {"items": 4, "depth": "percentiles", "bands": [4, 3, 2]}
    claim = service.claim(new["id"])
    assert claim.job_id is not None


async def test_cancelled_items_are_taken_where_asked_for(service: Service) -> None:
    job = await cancelled(service)
    assert await ids(service, (await retried(service, job)).json()) == ["a"]
    new = (await retried(service, job, json={"include": ["cancelled"]})).json()
    assert await ids(service, new) == ["a", "b", "c", "d"]
    assert await ids(service, (await retried(service, job, json={"include": ["expired"]})).json()) == ["a"]


async def test_named_items(service: Service) -> None:
    job = await half_failed(service)
    assert await ids(service, (await retried(service, job, json={"items": ["3", "3"]})).json()) == ["d"]
    refused = await retried(service, job, json={"items": ["1", "0", "9"]})
    assert (refused.status_code, refused.json()["reason"]) == (422, "INVALID_REQUEST")
    assert refused.json()["errors"] == [
        {"pointer": "/items/1", "detail": "item 0 has succeeded"},
        {"pointer": "/items/2", "detail": "item 9 does not exist"},
    ]


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"items": []}, "/items"),
        ({"items": ["01"]}, "/items/0"),
        ({"items": [1]}, "/items/0"),
        ({"items": ["99999999999"]}, "/items/0"),
        ({"include": ["succeeded"]}, "/include/0"),
        ({"items": ["1"], "include": ["expired"]}, "/include"),
        ({"item": ["1"]}, "/item"),
    ],
)
async def test_a_wrong_body_names_the_field(service: Service, body: dict[str, Any], pointer: str) -> None:
    answer = await retried(service, await half_failed(service), json=body)
    assert answer.status_code == 422
    assert [error["pointer"] for error in answer.json()["errors"]] == [pointer]


async def test_lines_that_could_not_be_read_are_left_out(service: Service) -> None:
    job = await service.submit(2)
    bad = failure_row(ItemReason.INVALID_MANIFEST_LINE)
    service.work(job["id"], lambda i: failure_row(ItemReason.TIMEOUT) if i else bad, 2)
    assert (await retried(service, job)).json()["counts"]["total"] == 1
    refused = await retried(service, job, json={"items": ["0"]})
    assert refused.json()["errors"][0]["detail"] == "item 0 is a line that cannot be read"


async def test_a_job_that_is_not_done_or_has_no_failure(service: Service) -> None:
    job = await service.submit(1)
    assert (await retried(service, job)).json()["reason"] == "JOB_NOT_DONE"
    service.work(job["id"], lambda _: result_row(some_masks(1)), 1)
    refused = await retried(service, job)
    assert (refused.status_code, refused.json()["reason"]) == (409, "NOTHING_TO_RETRY")


async def test_an_idempotency_key_makes_one_job(service: Service) -> None:
    job = await half_failed(service)
    headers = {"Idempotency-Key": "once"}
    first, second = [await retried(service, job, headers=headers) for _ in range(2)]
    assert first.json()["id"] == second.json()["id"]
    other = await retried(service, job, headers=headers, json={"include": ["expired"]})
    assert (other.status_code, other.json()["reason"]) == (422, "IDEMPOTENCY_KEY_REUSED")


async def test_the_end_of_a_retry_is_reported_too(service: Service) -> None:
    """To the receiver of the old job, with an event of its own. A job without a webhook has none in its retry."""
    await service.client.post("/v1/webhook-secrets")
    job = await half_failed(service, webhook={"url": "https://a.example/hook", "events": ["job.failed"]})
    new = (await retried(service, job)).json()
    told = (await service.client.get(f"/v1/jobs/{new['id']}/webhook")).json()
    assert (told["url"], told["events"]) == ("https://a.example/hook", ["job.failed"])
    assert (told["state"], told["tries"]) == ("pending", [])
    silent = (await retried(service, await half_failed(service))).json()
    assert (await service.client.get(f"/v1/jobs/{silent['id']}/webhook")).status_code == 404


async def test_a_retry_leads_to_its_job(service: Service) -> None:
    job = await half_failed(service)
    new = (await retried(service, job)).json()
    assert (await service.client.get(new["links"]["retry_of"])).json()["id"] == job["id"]
    assert "retry_of" not in job["links"] and job["links"]["events"] == f"/v1/jobs/{job['id']}/events"
    assert (await service.client.get(job["links"]["events"])).text.count("event: done") == 1


async def test_another_tenants_job(service: Service) -> None:
    job = await half_failed(service)
    _, key = new_tenant(service.engine)
    answer = await retried(service, job, headers={"Authorization": f"Bearer {key}"})
    assert (answer.status_code, answer.json()["reason"]) == (404, "JOB_NOT_FOUND")
