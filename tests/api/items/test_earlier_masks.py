"""`mask_from`: a prompt's mask by the name of an earlier one."""

import json
from typing import Any

import pytest
from sqlalchemy import event, select

from api.items import earlier_masks
from db.api_key import new_key
from db.ids import read_job_id
from db.scopes import Scope
from db.statements.keys import insert_key
from db.tables import items
from intake.item import Prompting, check_items
from tests.api.conftest import PEPPER, Service, new_tenant, result_row, some_masks

pytestmark = pytest.mark.anyio
CLICK = {"points": [[1, 2]], "labels": [0]}
NO_JOB = "job_0198a3c2f0b47d21a5e94c0b6f3d8e17"
MASKS = some_masks(3)


async def earlier(service: Service) -> str:
    """A job whose first item has three masks; the second is still pending."""
    job = await service.submit(2)
    service.write(service.claim(job["id"]), {0: result_row(MASKS)})
    return str(job["id"])


def named(job: str, item: str = "0", mask: int = 1) -> dict[str, Any]:
    return {"job_id": job, "item_id": item, "mask_id": mask}


def body(*prompts: dict[str, Any]) -> dict[str, Any]:
    each = [{"image": "s3://bucket/a.jpg", "prompts": [prompt]} for prompt in prompts]
    return {"task": {"type": "prompted"}, "input": {"items": each}}


def stored(service: Service, job: str) -> list[Any]:
    with service.engine.connect() as connection:
        mine = select(items.c.prompts).where(items.c.job_id == read_job_id(job)).order_by(items.c.index)
        return list(connection.execute(mine).scalars())


@pytest.mark.parametrize("in_lines", [False, True], ids=["json", "lines"])
async def test_the_mask_is_copied(service: Service, in_lines: bool) -> None:
    job = await earlier(service)
    asked = body(CLICK | {"mask_from": named(job)}, CLICK | {"mask_from": None}, {"mask_from": named(job, mask=2)})
    content = json.dumps(asked)
    if in_lines:
        content = "\n".join(map(json.dumps, [{"task": asked["task"]}, *asked["input"]["items"]]))
    kind = "application/x-ndjson" if in_lines else "application/json"
    answer = await service.client.post("/v1/jobs", content=content, headers={"Content-Type": kind})
    assert answer.status_code == 202, answer.text
    assert stored(service, answer.json()["id"]) == [[CLICK | {"mask": MASKS[1]}], [CLICK], [{"mask": MASKS[2]}]]


async def test_an_item_is_read_once_for_all_prompts_that_name_it(service: Service) -> None:
    job = await earlier(service)
    asked: list[str] = []
    engine = service.client.app.state.engine.sync_engine
    event.listen(engine, "before_cursor_execute", lambda _connection, _cursor, sql, *_: asked.append(sql))
    named_thrice = body(*({"mask_from": named(job, mask=mask)} for mask in (2, 0, 2)))
    answer = await service.client.post("/v1/jobs", json=named_thrice)
    assert stored(service, answer.json()["id"]) == [[{"mask": MASKS[mask]}] for mask in (2, 0, 2)]
    assert sum(".rle" in sql for sql in asked) == 1


async def refusal(service: Service, prompt: dict[str, Any], key: str | None = None) -> tuple[str, str, str]:
    """The reason, and the pointer within the prompt. Nothing is stored."""
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    before = len((await service.client.get("/v1/jobs")).json()["jobs"])
    answer = await service.client.post("/v1/jobs", json=body(CLICK, prompt), headers=headers)
    assert answer.status_code == 422, answer.text
    assert len((await service.client.get("/v1/jobs")).json()["jobs"]) == before
    (error,) = answer.json()["errors"]
    at = error["pointer"].removeprefix("/input/items/1/prompts/0")
    return answer.json()["reason"], at, error["detail"]


async def test_what_is_not_there_is_refused(service: Service) -> None:
    job = await earlier(service)
    for wrong, at, detail in (
        (named(NO_JOB), "/mask_from/job_id", f"you have no job {NO_JOB!r}"),
        (named(job, "2"), "/mask_from/item_id", "the job has no item with index 2"),
        (named(job, "9999999999"), "/mask_from/item_id", "'9999999999' is not the index of an item"),
        (named(job, "1"), "/mask_from/item_id", "the item is pending: only one that has succeeded has masks"),
        (named(job, mask=3), "/mask_from/mask_id", "the item has 3 masks, counted from 0"),
    ):
        assert await refusal(service, {"mask_from": wrong}) == ("MASK_NOT_FOUND", at, detail)


async def test_what_is_another_tenants_or_not_the_keys_does_not_exist(service: Service) -> None:
    job = await earlier(service)
    _, other = new_tenant(service.engine)
    writes = new_key()
    with service.engine.begin() as connection:
        scopes = (Scope.JOBS_WRITE,)
        connection.execute(*insert_key(writes, pepper=PEPPER, name="tests", tenant=service.tenant, scopes=scopes))
    expected = ("MASK_NOT_FOUND", "/mask_from/job_id", f"you have no job {job!r}")
    for key in (other, str(writes)):
        assert await refusal(service, {"mask_from": named(job)}, key) == expected


async def test_its_shape_is_checked(service: Service) -> None:
    for wrong, at in (
        ({"mask_from": named("job_1")}, "/mask_from/job_id"),
        ({"mask_from": named(NO_JOB, "01")}, "/mask_from/item_id"),
        ({"mask_from": named(NO_JOB, mask=-1)}, "/mask_from/mask_id"),
        ({"mask_from": named(NO_JOB) | {"mask": 1}}, "/mask_from/mask"),
        ({"mask_from": named(NO_JOB), "mask": MASKS[0]}, ""),
    ):
        assert (await refusal(service, wrong))[:2] == ("INVALID_REQUEST", at)


async def test_a_request_takes_so_many_and_so_much(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    job = await earlier(service)
    monkeypatch.setattr(earlier_masks, "MAX_BYTES", len(MASKS[1]["counts"]) - 1)
    assert (await refusal(service, {"mask_from": named(job)}))[:2] == ("INVALID_REQUEST", "/mask_from")
    monkeypatch.setattr(earlier_masks, "MAX_MASKS", 0)
    assert "one too many" in (await refusal(service, {"mask_from": named(job)}))[2]


def test_an_item_of_a_manifest_names_none() -> None:
    item = {"image": "s3://bucket/a.jpg", "prompts": [{"mask_from": named(NO_JOB)}]}
    ((_, _, faults),) = check_items([item], Prompting.of({"type": "prompted"}))
    assert [fault.pointer for fault in faults] == ["/prompts/0/mask_from"]
