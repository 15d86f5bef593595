"""Text jobs at the front door: refused where no worker serves them, and their phrases in every export."""

import io
import json
from typing import Any

import pyarrow.parquet as pq
import pytest
from sqlalchemy import Engine, delete

from db.queues import TEXT_SUFFIX
from db.statements import dispatch, register
from db.tables import workers
from exports.table import FORMATS
from tests.api.conftest import Service, result_row, some_masks

pytestmark = pytest.mark.anyio
PHRASES = ["a cat", 'a "red", {car}\\']
EXEMPLAR = {"phrase": "a cat", "box": [1, 2, 3, 4]}


def body(*exemplars: dict[str, Any], model: str = "sam_tiny", **more: Any) -> dict[str, Any]:
    item = {"image": "s3://bucket/a.jpg", **({"exemplars": exemplars} if exemplars else {})}
    return {"model": model, "task": {"type": "text", "phrases": PHRASES}, "input": {"items": [item]}, **more}


def sign(service: Service, *tasks: str, model: str = "sam_tiny", worker: str = "w") -> None:
    row = register.Registration(worker, model, "r1", "cpu", "exact", 2, list(tasks))
    with service.engine.begin() as connection:
        connection.execute(*register.sign([row]))


async def refused(service: Service, given: dict[str, Any], pointer: str) -> None:
    answer = await service.client.post("/v1/jobs", json=given)
    assert (answer.status_code, answer.json()["reason"]) == (422, "TASK_NOT_SERVED")
    assert [error["pointer"] for error in answer.json()["errors"]] == [pointer]
    dry = (await service.client.post("/v1/jobs", json={**given, "validate_only": True})).json()
    assert (dry["valid"], [error["pointer"] for error in dry["errors"]]) == (False, [pointer])


@pytest.fixture(autouse=True)
def nobody(engine: Engine) -> None:
    """No worker of another test is in the register."""
    with engine.begin() as connection:
        connection.execute(delete(workers))


async def test_it_is_refused_where_no_worker_serves_it(service: Service) -> None:
    await refused(service, body(), "/task/type")
    sign(service, "auto", "prompted")
    sign(service, "auto", "prompted", "text", model="null", worker="of another model")
    await refused(service, body(), "/task/type")
    sign(service, "auto", "prompted", "text")
    await refused(service, body(EXEMPLAR), "/input/items")
    key = {"Idempotency-Key": "once"}
    answer = await service.client.post("/v1/jobs", json=body(), headers=key)
    assert answer.status_code == 202 and answer.json()["waiting_for"] is None
    sign(service, "text", "text_exemplars")
    assert (await service.client.post("/v1/jobs", json=body(EXEMPLAR))).status_code == 202
    listed = (await service.client.get("/v1/models")).json()["models"]
    assert [w["tasks"] for m in listed for w in m["workers"] if m["name"] == "sam_tiny"] == [["text", "text_exemplars"]]
    sign(service, "auto")
    again = await service.client.post("/v1/jobs", json=body(), headers=key)  # it was accepted then
    assert again.status_code == 202 and again.json()["id"] == answer.json()["id"]
    assert again.json()["waiting_for"] == "NO_WORKER"


async def test_its_chunks_have_a_queue_that_other_workers_do_not_read(service: Service) -> None:
    sign(service, "auto", worker="plain")
    sign(service, "auto", "text", model="null", worker="both")
    sign(service, "auto", model="null", worker="plain")
    for given in (body(model="null"), {**body(model="null"), "task": {"type": "auto"}}):
        assert (await service.client.post("/v1/jobs", json=given)).status_code == 202
    with service.engine.begin() as connection:
        rows = connection.execute(*dispatch.windows(alive_seconds=60)).all()
        slots = {row.queue: row.slots for row in rows}
        assert (slots["null"], slots["null" + TEXT_SUFFIX]) == (4, 2)
        (filled,) = connection.execute(*dispatch.fill_window("null" + TEXT_SUFFIX, room=9, job_room=9)).all()
        (lost,) = connection.execute(*dispatch.announced_chunks(age_seconds=0)).all()
        assert (lost.job_id, lost.queue) == (filled.job_id, "null" + TEXT_SUFFIX)


async def test_every_export_has_phrases_and_scores(service: Service) -> None:
    sign(service, "text", model="null")
    job = (await service.client.post("/v1/jobs", json=body(model="null"))).json()["id"]
    phrases, scores = [PHRASES[1], PHRASES[0], PHRASES[1]], [0.25, 0.75, 0.5]
    service.work(job, lambda _: {**result_row(some_masks(3)), "phrases": phrases, "scores": scores}, 1)
    got = {name: await service.client.get(f"/v1/jobs/{job}/results?format={name}") for name in FORMATS}
    pairs = list(zip(phrases, scores, strict=True))

    def named(masks: list[dict[str, Any]]) -> list[tuple[str, float]]:
        return [(mask["phrase"], mask["score"]) for mask in masks]

    assert named(json.loads(got["jsonl"].text.splitlines()[0])["masks"]) == pairs
    coco = got["coco"].json()
    assert coco["categories"] == [{"id": i, "name": phrase} for i, phrase in enumerate(PHRASES, 1)]
    assert named(coco["annotations"]) == pairs
    assert [a["category_id"] for a in coco["annotations"]] == [2, 1, 2]
    assert [(r["category_id"], r["score"]) for r in got["coco_results"].json()] == [(2, 0.25), (1, 0.75), (2, 0.5)]
    assert named(json.loads(got["sa1b"].text.splitlines()[0])["annotations"]) == pairs
    assert named([feature["properties"] for feature in got["geojson"].json()["features"]]) == pairs
    assert named(pq.read_table(io.BytesIO(got["parquet"].content)).to_pylist()) == pairs
    listed = (await service.client.get(f"/v1/jobs/{job}/items/0/masks?page_size=2")).json()
    rest = (
        await service.client.get(f"/v1/jobs/{job}/items/0/masks?page_token={listed['next_page_token']}&page_size=2")
    ).json()
    assert named(listed["masks"]) + named(rest["masks"]) == pairs
