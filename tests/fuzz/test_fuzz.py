"""Random requests by the document, over a real server and database with jobs in it. `make fuzz` is the long one."""

import re
from collections.abc import Iterator

import httpx
import pytest
from sqlalchemy import Engine

from db.engine import sync_engine
from db.states import ItemReason
from tests.api.conftest import Service, body, failure_row, new_tenant, result_row, some_masks
from tests.api.processes import served
from tests.fuzz.run import fuzz

SEED = 7


@pytest.fixture
def engine(database: str) -> Iterator[Engine]:
    engine = sync_engine(database)
    yield engine
    engine.dispose()


def make_jobs(url: str, service: Service) -> str:
    """One job that is done, one with a failed item, one that waits, one cancelled. Returns the id of the first."""
    headers = {"Authorization": f"Bearer {service.key}"}
    with httpx.Client(base_url=url, headers=headers, timeout=60) as client:
        done, partly, _, cancelled = (client.post("/v1/jobs", json=body(2)).json()["id"] for _ in range(4))
        client.post(f"/v1/jobs/{cancelled}:cancel").raise_for_status()
    service.work(done, lambda _: result_row(some_masks(3)), 2)
    rows = [result_row(some_masks(1)), failure_row(ItemReason.OBJECT_NOT_FOUND)]
    service.work(partly, lambda index: rows[index], 2)
    return str(done)


def test_no_answer_differs_from_the_document(database: str, engine: Engine) -> None:
    tenant, key = new_tenant(engine)
    with served("api.main:create_app", database) as (host, port):
        url = f"http://{host}:{port}"
        job_id = make_jobs(url, Service(None, engine, tenant, key, database))  # type: ignore[arg-type]
        done = fuzz(url, key, SEED, "--max-examples=8", "--phases=examples,coverage,fuzzing")
        read = fuzz(url, key, SEED, "--max-examples=12", "--phases=fuzzing", job_id=job_id)
    for run, least in ((done, 300), (read, 50)):
        assert run.returncode == 0, run.stdout + run.stderr
        found = re.search(r"(\d+) generated", run.stdout)
        assert found and int(found[1]) > least, run.stdout
