"""`tile` at the front door: what is taken, what is refused and where, and what a job says about its windows."""

import json
from typing import Any

import pytest
from sqlalchemy import Engine, insert, select, update

from db.ids import new_job_id, read_job_id, show_job_id
from db.queues import TILED
from db.statements.ingest import cut_chunks
from db.tables import chunks, items, jobs
from tests.api.conftest import Service

pytestmark = pytest.mark.anyio
IMAGE = "s3://bucket/a.tif"
TILE = {"size": 512, "overlap": 64}
POINT = {"points": [[1, 2]], "labels": [1]}
MASK = {"mask": {"size": [2, 2], "counts": "04"}}


def body(task: dict[str, Any], *given: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {
        "model": "null",
        "task": task,
        "input": {"items": [{"image": IMAGE, **item} for item in given or ({},)]},
        **more,
    }


async def stored(service: Service, job_id: str) -> tuple[Any, list[Any]]:
    with service.engine.connect() as connection:
        job = connection.execute(select(jobs).where(jobs.c.id == read_job_id(job_id))).one()
        rows = connection.execute(
            select(items.c.tile).where(items.c.job_id == job.id).order_by(items.c.index)
        ).scalars()
        return job, list(rows)


async def test_it_is_stored_in_the_task_and_in_items(service: Service) -> None:
    cases: tuple[tuple[dict[str, Any], list[dict[str, Any]], int, int], ...] = (
        ({"type": "auto", "tile": "auto"}, [{}], TILED, 1),
        ({"type": "auto", "tile": {"size": 512}}, [{}, {"tile": TILE}], TILED, 1),
        ({"type": "prompted"}, [{"prompts": [POINT], "tile": "auto"}, {"prompts": [MASK]}], TILED, 1),
        ({"type": "auto", "tile": None}, [{"tile": None}], 1, 1),
    )
    for task, given, protocol, size in cases:
        answer = await service.client.post("/v1/jobs", json=body(task, *given))
        assert answer.status_code == 202, answer.text
        assert answer.json()["task"] == task
        job, tiles = await stored(service, answer.json()["id"])
        assert (job.protocol, job.chunk_size, tiles) == (protocol, size, [item.get("tile") for item in given])


async def test_lines_may_have_it_too(service: Service) -> None:
    lines = [{"model": "null", "task": {"type": "auto"}}, {"image": IMAGE}, {"image": IMAGE, "tile": TILE}]
    content = "\n".join(json.dumps(line) for line in lines).encode()
    headers = {"Content-Type": "application/x-ndjson"}
    answer = await service.client.post("/v1/jobs", content=content, headers=headers)
    assert answer.status_code == 202, answer.text
    job, tiles = await stored(service, answer.json()["id"])
    assert (job.protocol, tiles) == (TILED, [None, TILE])


@pytest.mark.parametrize(
    ("task", "item", "pointer", "detail"),
    [
        ({"type": "auto", "tile": "large"}, {}, "/task/tile", 'must be "auto" or an object with size and overlap'),
        ({"type": "auto", "tile": {}}, {}, "/task/tile/size", "is missing"),
        ({"type": "auto", "tile": {"size": 63}}, {}, "/task/tile/size", "must be at least 64"),
        ({"type": "auto", "tile": {"size": 9000}}, {}, "/task/tile/size", "must be at most 8192"),
        ({"type": "auto", "tile": {"size": 512, "overlap": 8}}, {}, "/task/tile/overlap", "must be at least 16"),
        ({"type": "auto", "tile": {"size": 512, "overlap": 171}}, {}, "/task/tile/overlap", "at most a third"),
        ({"type": "auto", "tile": {"size": 512, "x": 1}}, {}, "/task/tile/x", "is not a known field"),
        ({"type": "text", "phrases": ["a"], "tile": "auto"}, {}, "/task/tile", "is for automatic and prompted jobs"),
        ({"type": "text", "phrases": ["a"]}, {"tile": "auto"}, "/input/items/0/tile", "is not cut into windows"),
        ({"type": "auto"}, {"tile": {"size": 63}}, "/input/items/0/tile/size", "must be at least 64"),
        ({"type": "prompted", "tile": "auto"}, {"prompts": [POINT, MASK]}, "/input/items/0/prompts/1/mask", "takes"),
        ({"type": "prompted"}, {"prompts": [MASK], "tile": TILE}, "/input/items/0/prompts/0/mask", "takes"),
    ],
)  # fmt: skip
async def test_what_is_refused(
    service: Service, task: dict[str, Any], item: dict[str, Any], pointer: str, detail: str
) -> None:
    answer = await service.client.post("/v1/jobs", json=body(task, item))
    assert answer.status_code == 422
    (error,) = answer.json()["errors"]
    assert (error["pointer"], detail in error["detail"]) == (pointer, True), error


async def test_one_image_now_takes_none(service: Service) -> None:
    for task in ({"type": "auto", "tile": "auto"}, {"type": "prompted", "tile": "auto"}):
        answer = await service.client.post("/v1/segment", json={"model": "null", "image": IMAGE, "task": task})
        assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, "/task/tile")


async def test_a_job_says_how_far_its_windows_are_and_hides_their_job(service: Service, engine: Engine) -> None:
    answer = await service.client.post("/v1/jobs", json=body({"type": "auto", "tile": TILE}, {}, {}))
    shown = answer.json()
    job_id, of_item = read_job_id(shown["id"]), new_job_id()
    assert shown["progress"]["tiles"] is None
    with engine.begin() as connection:
        connection.execute(
            update(jobs).where(jobs.c.id == job_id).values(state="running", started_at=jobs.c.created_at)
        )
        parked = {"parked": True, "fence": 2}
        connection.execute(update(chunks).where(chunks.c.job_id == job_id, chunks.c.chunk_no == 0).values(parked))
        columns: dict[str, Any] = {
            "tenant_id": service.tenant,
            "state": "running",
            "model": "null",
            "task": {"type": "auto"},
        }
        columns |= {"id": of_item, "tile_of": job_id, "tile_index": 0, "started_at": shown["create_time"]}
        connection.execute(
            insert(jobs).values(columns | {"task": {"type": "auto"}, "input": {}, "n_items": 4, "chunk_size": 2})
        )
        connection.execute(*cut_chunks(of_item))
        done = {"state": "done", "fence": 1, "n_ok": 2}
        connection.execute(update(chunks).where(chunks.c.job_id == of_item, chunks.c.chunk_no == 0).values(done))
    shown = await service.job(shown["id"])
    assert shown["progress"]["tiles"] == {"items": 1, "done": 2, "total": 4}
    assert shown["progress"]["fraction"] == 0.25
    assert (shown["counts"]["running"], shown["counts"]["pending"]) == (1, 1)
    states = [item["state"] for item in (await service.client.get(f"/v1/jobs/{shown['id']}/items")).json()["items"]]
    assert states == ["running", "pending"]
    for state in ("running", "pending"):
        listed = await service.client.get(f"/v1/jobs/{shown['id']}/items", params={"state": state})
        assert [item["index"] for item in listed.json()["items"]] == [states.index(state)]
    hidden = f"/v1/jobs/{show_job_id(of_item)}"
    for method, path in (
        ("GET", ""),
        ("GET", "/items"),
        ("GET", "/results"),
        ("POST", ":cancel"),
        ("POST", ":retry"),
        ("DELETE", ""),
    ):
        assert (await service.client.request(method, hidden + path)).status_code == 404, (method, path)
    listed = (await service.client.get("/v1/jobs")).json()["jobs"]
    assert show_job_id(of_item) not in [job["id"] for job in listed]
    await service.client.post(f"/v1/jobs/{shown['id']}:cancel")
    with engine.connect() as connection:
        assert connection.execute(select(jobs.c.state).where(jobs.c.id == of_item)).scalar_one() == "cancelled"
    retried = await service.client.post(f"/v1/jobs/{shown['id']}:retry", json={"include": ["cancelled"]})
    job, _ = await stored(service, retried.json()["id"])
    assert (job.protocol, job.task["tile"], job.chunk_size) == (TILED, TILE, 1)
