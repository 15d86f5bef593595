import asyncio
import hashlib
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import select, text, update

from db.ids import read_job_id
from db.statements import submit
from db.statements.leader import WAKE_CHANNEL
from db.states import JobState
from db.tables import chunks, items, jobs, tenants
from tests.api.conftest import Service, body, serving, settings

pytestmark = pytest.mark.anyio
ITEM = ("index", "custom_id", "image", "prompts")
PROMPTS = [{"id": "cup", "points": [[5, 3.5]], "labels": [1]}, {"box": [1, 2, 3, 4], "multimask": True}]


def rows_of(service: Service, table: Any, job_id: str) -> list[Any]:
    key = table.c.id if table is jobs else table.c.job_id
    with service.engine.connect() as connection:
        return list(connection.execute(select(table).where(key == read_job_id(job_id)).order_by(*table.primary_key)))


async def test_an_automatic_job_is_stored_whole(service: Service) -> None:
    given = {
        "name": "tiles",
        "labels": {"run": "7"},
        "model": "null",
        "precision": "fast",
        "priority": 9,
        "task": {"type": "auto", "points_per_side": 32, "pred_iou_thresh": 0.88},
        "input": {"items": [{"custom_id": "a", "image": "s3://bucket/a.jpg"}, {"image": "s3://bucket/deep/b c.png"}]},
        "deadline": "2090-01-01T00:00:00Z",
        "max_failure_ratio": 0.1,
    }
    answer = await service.client.post("/v1/jobs", json=given)
    assert answer.status_code == 202
    job = answer.json()
    assert answer.headers["location"] == f"/v1/jobs/{job['id']}"
    assert answer.headers["etag"] == (await service.client.get(answer.headers["location"])).headers["etag"]
    assert job["state"] == "pending" and job["done"] is False
    assert {k: job[k] for k in ("name", "labels", "model", "precision", "priority", "task")} == {
        k: given[k] for k in ("name", "labels", "model", "precision", "priority", "task")
    }
    assert job["deadline"] == "2090-01-01T00:00:00Z" and job["max_failure_ratio"] == pytest.approx(0.1)
    assert job["counts"] == {
        "total": 2, "pending": 2, "running": 0, "succeeded": 0, "failed": 0, "cancelled": 0, "expired": 0,
    }  # fmt: skip
    stored = rows_of(service, jobs, job["id"])[0]
    assert stored.task == given["task"], "only what the client gave: the worker resolves defaults"
    assert stored.tenant_id == service.tenant and stored.input == {"items": 2}
    assert [tuple(row._mapping[name] for name in ITEM) for row in rows_of(service, items, job["id"])] == [
        (0, "a", "s3://bucket/a.jpg", None),
        (1, "1", "s3://bucket/deep/b c.png", None),
    ]


@pytest.mark.parametrize("n", [1, 64, 65, 1000, 1025])
async def test_chunks_cover_every_item_once(service: Service, n: int) -> None:
    job = await service.submit(n)
    found = rows_of(service, chunks, job["id"])
    assert [c.chunk_no for c in found] == list(range(len(found)))
    assert [i for c in found for i in range(c.lo, c.hi)] == list(range(n))
    size = rows_of(service, jobs, job["id"])[0].chunk_size
    assert all(c.hi - c.lo == size for c in found[:-1]) and size == min(16, -(-n // 64))


async def test_prompts_are_stored_as_given(service: Service) -> None:
    given = {"task": {"type": "prompted"}, "input": {"items": [{"image": "s3://bucket/a.jpg", "prompts": PROMPTS}]}}
    job = (await service.client.post("/v1/jobs", json=given)).json()
    assert rows_of(service, items, job["id"])[0].prompts == PROMPTS
    assert job["task"] == {"type": "prompted"}


@pytest.mark.parametrize("source", [{"prefix": "s3://bucket/p/"}, {"items": [{"image": "s3://bucket/a.jpg"}] * 2}])
async def test_prompts_for_every_image_are_stored_once(service: Service, source: dict[str, Any]) -> None:
    given = {"task": {"type": "prompted"}, "input": {**source, "prompts": PROMPTS}}
    job = (await service.client.post("/v1/jobs", json=given)).json()
    assert job["input"]["prompts"] == len(PROMPTS) and "prompts" not in job["task"]
    assert rows_of(service, jobs, job["id"])[0].prompts == PROMPTS
    assert {row.prompts for row in rows_of(service, items, job["id"])} <= {None}


async def test_a_prefix_waits_for_the_leader(service: Service) -> None:
    given = {"task": {"type": "auto"}, "input": {"prefix": "s3://bucket/p/", "glob": "**/*.jpg"}}
    answer = await service.client.post("/v1/jobs", json=given)
    assert answer.status_code == 202
    job = answer.json()
    assert job["state"] == "ingesting" and job["input"] == given["input"]
    assert sum(job["counts"].values()) == 0
    assert (rows_of(service, items, job["id"]), rows_of(service, chunks, job["id"])) == ([], [])


async def test_the_first_model_is_the_default(service: Service) -> None:
    assert (await service.submit(1))["model"] == "sam_tiny"


async def test_a_submit_wakes_the_dispatcher(service: Service) -> None:
    with service.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text(f"LISTEN {WAKE_CHANNEL}"))
        await service.submit(1)
        driver: Any = connection.connection.driver_connection
        assert [n.channel for n in driver.notifies(timeout=5, stop_after=1)] == [WAKE_CHANNEL]


async def test_the_same_key_and_body_make_one_job(service: Service) -> None:
    async def send() -> Any:
        return await service.client.post("/v1/jobs", json=body(3), headers={"Idempotency-Key": "k-1"})

    answers = await asyncio.gather(*[send() for _ in range(8)])
    assert {a.status_code for a in answers} == {202}
    assert len({a.json()["id"] for a in answers}) == 1
    assert len((await service.client.get("/v1/jobs")).json()["jobs"]) == 1


async def test_the_same_key_with_another_body_is_refused(service: Service) -> None:
    headers = {"Idempotency-Key": "k-2"}
    first = await service.client.post("/v1/jobs", json=body(3), headers=headers)
    second = await service.client.post("/v1/jobs", json=body(4), headers=headers)
    assert (first.status_code, second.status_code) == (202, 422)
    assert second.json()["reason"] == "IDEMPOTENCY_KEY_REUSED"
    assert (
        rows_of(service, jobs, first.json()["id"])[0].request_sha256 == hashlib.sha256(first.request.content).digest()
    )


async def test_keys_of_two_tenants_do_not_meet(service: Service) -> None:
    from tests.api.conftest import new_tenant

    _, other = new_tenant(service.engine)
    headers = {"Idempotency-Key": "k-3"}
    mine = await service.client.post("/v1/jobs", json=body(1), headers=headers)
    theirs = await service.client.post(
        "/v1/jobs", json=body(2), headers={**headers, "Authorization": f"Bearer {other}"}
    )
    assert (mine.status_code, theirs.status_code) == (202, 202)


async def test_too_many_open_items_are_refused_until_some_end(service: Service) -> None:
    with service.engine.begin() as connection:
        connection.execute(update(tenants).where(tenants.c.id == service.tenant).values(max_open_items=10))
    first = await service.submit(8)
    refused = await service.client.post("/v1/jobs", json=body(3))
    assert refused.status_code == 429 and refused.json()["reason"] == "TOO_MANY_OPEN_ITEMS"
    assert int(refused.headers["retry-after"]) > 0
    assert len((await service.client.get("/v1/jobs")).json()["jobs"]) == 1, "nothing of a refused job stays"
    await service.client.post(f"/v1/jobs/{first['id']}:cancel")
    await service.submit(3)


async def test_too_many_open_items_of_all_tenants_together(service: Service) -> None:
    from tests.api.conftest import new_tenant

    with service.engine.connect() as connection:
        before = connection.execute(*submit.open_items(service.tenant)).one().of_all
    _, other = new_tenant(service.engine)
    full = settings(service.database, max_open_items_total=before + 10)
    async with serving(full, service.key) as client:
        assert (await client.post("/v1/jobs", json=body(8))).status_code == 202
    async with serving(full, other) as client:
        refused = await client.post("/v1/jobs", json=body(3))
        assert refused.status_code == 429 and refused.json()["reason"] == "TOO_MANY_OPEN_ITEMS"
        assert int(refused.headers["retry-after"]) > 0
        assert (await client.post("/v1/jobs", json=body(2))).status_code == 202


async def test_validate_only_stores_nothing(service: Service) -> None:
    good = await service.client.post("/v1/jobs", json={**body(3), "validate_only": True})
    assert good.status_code == 200
    assert good.json() == {"valid": True, "counts": {"total": 3, "invalid": 0}, "errors": []}
    wrong = {**body(3), "validate_only": True}
    wrong["input"]["items"][1]["image"] = "ftp://x"
    bad = await service.client.post("/v1/jobs", json=wrong)
    assert bad.status_code == 200
    assert bad.json()["valid"] is False and bad.json()["counts"] == {"total": 3, "invalid": 1}
    assert [e["pointer"] for e in bad.json()["errors"]] == ["/input/items/1/image"]
    assert (await service.client.get("/v1/jobs")).json() == {"jobs": []}


async def validated(client: Any, given: dict[str, Any]) -> dict[str, Any]:
    answer = await client.post("/v1/jobs", json={**given, "validate_only": True})
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


ELSEWHERE = "s3://elsewhere/a.jpg"


@pytest.mark.parametrize(
    ("given", "pointers", "invalid"),
    [
        ({"input": {"items": [{"image": ELSEWHERE}, {"image": "s3://bucket/a"}]}}, ["/input/items/0/image"], 1),
        ({"input": {"prefix": "s3://elsewhere/p/"}}, ["/input/prefix"], 0),
    ],
)
async def test_a_bucket_that_is_not_allowed(
    service: Service, given: dict[str, Any], pointers: list[str], invalid: int
) -> None:
    """A submit and a dry run say the same, where the API has the list; without one the workers decide."""
    given = {"task": {"type": "auto"}, **given}
    async with serving(settings(service.database, buckets=("bucket", "other")), service.key) as client:
        refused = await client.post("/v1/jobs", json=given)
        dry = await validated(client, given)
    assert (refused.status_code, refused.json()["reason"]) == (422, "BUCKET_NOT_ALLOWED")
    assert [e["pointer"] for e in refused.json()["errors"]] == pointers
    assert "'elsewhere'" in refused.json()["detail"]
    assert (dry["valid"], dry["counts"]["invalid"], dry["errors"]) == (False, invalid, refused.json()["errors"])
    for buckets in ((), ("*",)):
        async with serving(settings(service.database, buckets=buckets), service.key) as client:
            assert (await validated(client, given))["valid"] is True
            assert (await client.post("/v1/jobs", json=given)).status_code == 202


async def test_a_dry_run_counts_every_item_that_is_wrong(service: Service) -> None:
    """Of every kind, in one go: the form, an id twice, prompts in an automatic job, and those over the limit."""
    given = body(8)
    items = given["input"]["items"]
    items[1]["image"] = "x"
    items[2].update(image="x", custom_id="")
    items[3]["custom_id"] = items[4]["custom_id"] = "same"
    items[5]["prompts"] = [{"box": [1, 2, 3, 4]}]
    async with serving(settings(service.database, max_items_inline=6), service.key) as client:
        dry = await validated(client, {**given, "priority": 10, "model": "sam_tiny"})
    assert (dry["valid"], dry["counts"]) == (False, {"total": 8, "invalid": 5})
    assert [e["pointer"] for e in dry["errors"]] == [
        "/input/items", "/priority", "/input/items/1/image", "/input/items/2/custom_id", "/input/items/2/image",
        "/input/items/4/custom_id",
    ]  # fmt: skip
    assert "8 items" in dry["errors"][0]["detail"] and "at most 6" in dry["errors"][0]["detail"]


async def test_one_item_too_many(service: Service) -> None:
    dry = await validated(service.client, body(100_001))
    assert (dry["valid"], dry["counts"]) == (False, {"total": 100_001, "invalid": 1})
    assert [e["pointer"] for e in dry["errors"]] == ["/input/items"]


async def test_a_dry_run_tells_of_too_many_open_items(service: Service) -> None:
    with service.engine.begin() as connection:
        connection.execute(update(tenants).where(tenants.c.id == service.tenant).values(max_open_items=10))
    await service.submit(8)
    dry = await validated(service.client, body(3))
    assert (dry["valid"], [e["pointer"] for e in dry["errors"]]) == (False, ["/input"])
    assert "8 items are open" in dry["errors"][0]["detail"]
    assert (await validated(service.client, body(2)))["valid"] is True
    with service.engine.connect() as connection:
        of_all = connection.execute(*submit.open_items(service.tenant)).one().of_all
    async with serving(settings(service.database, max_open_items_total=of_all + 1), service.key) as client:
        assert (await validated(client, body(2)))["valid"] is False
        assert (await validated(client, body(1)))["valid"] is True


async def test_a_body_over_the_limit_is_refused(service: Service) -> None:
    limited = settings(service.database, max_body_bytes=2000, max_items_inline=5)
    async with serving(limited, service.key) as client:
        many = await client.post("/v1/jobs", json=body(6))
        large = await client.post("/v1/jobs", json=body(100))
    assert (many.status_code, many.json()["errors"][0]["pointer"]) == (422, "/input/items")
    assert (large.status_code, large.json()["reason"]) == (413, "BODY_TOO_LARGE")


async def test_ten_thousand_items(service: Service) -> None:
    job = await service.submit(10_000)
    assert job["counts"]["pending"] == job["counts"]["total"] == 10_000
    assert len(rows_of(service, items, job["id"])) == 10_000


async def test_times_are_utc_whatever_was_given(service: Service) -> None:
    at = (datetime.now(UTC) + timedelta(days=1)).replace(microsecond=0)
    job = await service.submit(1, deadline=at.isoformat().replace("+00:00", "Z"))
    assert job["deadline"] == at.strftime("%Y-%m-%dT%H:%M:%SZ")
    shifted = await service.submit(1, deadline="2090-01-01T02:00:00+02:00")
    assert (await service.job(shifted["id"]))["deadline"] == "2090-01-01T00:00:00Z"


async def test_json_with_a_charset_is_json(service: Service) -> None:
    headers = {"Content-Type": "application/json; charset=utf-8"}
    answer = await service.client.post("/v1/jobs", content=json.dumps(body(1)), headers=headers)
    assert answer.status_code == 202 and answer.json()["state"] == JobState.PENDING.value


@pytest.mark.parametrize("depth", ["auto", "percentiles", "full_range"])
@pytest.mark.parametrize("given", [{"items": [{"image": "s3://bucket/a.tif"}]}, {"prefix": "s3://bucket/"}], ids=str)
async def test_the_depth_stays_with_the_input(service: Service, given: dict[str, object], depth: str) -> None:
    body = {"task": {"type": "auto"}, "input": {**given, "depth": depth}}
    job = (await service.client.post("/v1/jobs", json=body)).json()
    assert job["input"]["depth"] == rows_of(service, jobs, job["id"])[0].input["depth"] == depth


@pytest.mark.parametrize("bands", [[4, 3, 2], [8], [], [1, 2], [1, 1, 2], [0, 1, 2], [1.5], "432", [1, 2, 10_001]])
async def test_bands_are_one_or_three(service: Service, bands: object) -> None:
    body = {"task": {"type": "auto"}, "input": {"prefix": "s3://bucket/", "bands": bands}}
    answer = await service.client.post("/v1/jobs", json=body)
    if bands in ([4, 3, 2], [8]):
        assert answer.status_code == 202 and answer.json()["input"]["bands"] == bands
    else:
        assert answer.status_code == 422 and answer.json()["errors"][0]["pointer"].startswith("/input/bands")


@pytest.mark.parametrize("depth", ["12", "AUTO", "", 8, [0, 4095]])
async def test_an_unknown_depth_is_refused(service: Service, depth: object) -> None:
    body = {"task": {"type": "auto"}, "input": {"items": [{"image": "s3://bucket/a.tif"}], "depth": depth}}
    answer = await service.client.post("/v1/jobs", json=body)
    assert answer.status_code == 422 and answer.json()["errors"][0]["pointer"] == "/input/depth"
