"""Models and their workers: what each caller sees of them."""

from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import func, insert

from api.models import FACTS
from db.ids import new_job_id, read_job_id, show_job_id, show_worker_id
from db.statements.register import Registration, Report, sign
from db.tables import jobs, workers
from model.sizes import SIZES
from tests.api.conftest import Service

pytestmark = pytest.mark.anyio


async def test_models_and_who_has_them_loaded(service: Service) -> None:
    """A worker of the release before, which signs without a report."""
    row = {"id": "w", "model": "sam_tiny", "model_revision": "abc", "device": "cuda:0", "precision": "fast", "slots": 2}
    now = func.clock_timestamp()
    with service.engine.begin() as connection:
        connection.execute(insert(workers).values(**row, loaded_at=now, seen_at=now))
    listed = (await service.client.get("/v1/models")).json()["models"]
    assert [(m["name"], m["default"], m["loaded"]) for m in listed] == [
        ("sam_tiny", True, True),
        ("null", False, False),
    ]
    assert listed[0]["workers"] == [
        {
            **{"device": "cuda:0", "precision": "fast", "revision": "abc", "tasks": ["auto", "prompted"]},
            **{"id": show_worker_id("w"), "status": None},
        }
    ]
    assert listed[0]["licence"] == "Apache-2.0"
    with service.engine.begin() as connection:
        connection.execute(workers.delete())


async def test_workers_say_what_they_do_for_the_caller(service: Service) -> None:
    ours, theirs = read_job_id((await service.submit(1))["id"]), new_job_id()
    assert ours is not None
    with service.engine.begin() as connection:
        other = {"id": theirs, "tenant_id": "default", "state": "ingesting", "model": "null", "task": {}, "input": {}}
        connection.execute(insert(jobs).values(**other, created_at=func.now()))

    async def status(**reported: Any) -> dict[str, Any]:
        report = Report(rss_bytes=3, images_per_second=1.5, **reported)
        row = Registration("w", "sam_tiny", "r1", "cuda:0", "fast", 2, ["auto"], report=report)
        with service.engine.begin() as connection:
            connection.execute(*sign([row]))
        (worker,) = (await service.client.get("/v1/models")).json()["models"][0]["workers"]
        found: dict[str, Any] = worker["status"]
        return found

    work = [{"job_id": str(job), "chunk_no": 7, "seconds": 60.0} for job in (ours, theirs)]
    gpu = {"gpu_name": "H200", "gpu_used_bytes": 1, "gpu_total_bytes": 2}
    both = await status(calls=0, work=work, **gpu)
    (chunk,) = both.pop("work")
    assert (chunk["job_id"], chunk["chunk"]) == (show_job_id(ours), 7)
    assert 59 < (datetime.now(UTC) - datetime.fromisoformat(chunk["since"])).total_seconds() < 90
    shown = {"name": "H200", "used_bytes": 1, "total_bytes": 2}
    assert both == {"memory_bytes": 3, "images_per_second": 1.5, "busy": True, "gpu": shown}
    idle: dict[str, Any] = {"memory_bytes": 3, "images_per_second": 1.5, "gpu": None, "work": []}
    assert await status(calls=0, work=work[1:]) == idle | {"busy": True}
    assert await status(calls=1, work=[]) == idle | {"busy": True}
    assert await status(calls=0, work=[]) == idle | {"busy": False}
    with service.engine.begin() as connection:
        connection.execute(workers.delete())


@pytest.mark.parametrize("name", sorted(SIZES))
def test_facts_are_the_models_own(name: str) -> None:
    assert (FACTS[name].parameters, FACTS[name].licence) == (SIZES[name].parameters, SIZES[name].licence)
