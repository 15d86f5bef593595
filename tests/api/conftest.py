"""The app over a real database, driven in process.

service   one tenant of its own in the module's database: `.client` (its key sent with every request), `.database`,
          `.tenant`; `submit(n)` and `work(…)` make jobs and play the worker with the worker's own statements
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any
from uuid import UUID, uuid4

import httpx
import numpy as np
import pytest
from fastapi import FastAPI
from sqlalchemy import Engine, event, insert

from api.main import create_app
from api.settings import Settings
from db.api_key import new_key
from db.endings import finish_job
from db.engine import sync_engine
from db.ids import read_job_id
from db.mask_row import MaskRow
from db.statements import lease
from db.statements.clock import now
from db.statements.keys import insert_key
from db.states import ItemReason, ResultState
from db.tables import results, tenants
from deploy.local.postgres import API_ROLE
from model.masks.rle import RLE, area, bbox, encode
from tests.api.document import check_answer

PEPPER = "a pepper for tests only"
MODELS = ("sam_tiny", "null")


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def engine(module_database: str) -> Iterator[Engine]:
    engine = sync_engine(module_database)
    yield engine
    engine.dispose()


def settings(database: str, **changes: Any) -> Settings:
    return Settings(database_url=database, api_role=API_ROLE, key_pepper=PEPPER, models=MODELS, **changes)


@cache
def document() -> dict[str, Any]:
    """The OpenAPI document. It depends on the code alone, and making it takes longer than most tests."""
    return create_app(settings("postgresql+psycopg://nobody@127.0.0.1:1/none")).openapi()


def checked_by(app: FastAPI) -> Callable[[httpx.Response], Awaitable[None]]:
    async def check(answer: httpx.Response) -> None:
        await answer.aread()
        check_answer(app.openapi(), answer)

    return check


class Client(httpx.AsyncClient):
    """A client of an app in this process."""

    def __init__(self, app: FastAPI, headers: dict[str, str]) -> None:
        hooks = {"response": [checked_by(app)]}
        super().__init__(transport=httpx.ASGITransport(app), base_url="http://api", headers=headers, event_hooks=hooks)
        self.app = app

    def statements(self) -> list[str]:
        """The SQL that the app runs from now on, as it comes."""
        found: list[str] = []
        engine = self.app.state.engine.sync_engine
        event.listen(engine, "before_cursor_execute", lambda *given: found.append(given[2]))
        return found


@asynccontextmanager
async def serving(configured: Settings, key: str = "") -> AsyncIterator[Client]:
    """A client of the app, its lifespan run around. Every answer is held against the app's own document."""
    app = create_app(configured)
    app.openapi_schema = document()
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    async with app.router.lifespan_context(app), Client(app, headers) as client:
        yield client


def new_tenant(engine: Engine) -> tuple[str, str]:
    """A tenant of its own and a key for it."""
    tenant, key = f"tenant-{uuid4().hex[:8]}", new_key()
    with engine.begin() as connection:
        connection.execute(insert(tenants).values(id=tenant))
        connection.execute(*insert_key(key, pepper=PEPPER, name="tests", tenant=tenant))
    return tenant, str(key)


def some_masks(n: int, size: tuple[int, int] = (30, 40)) -> list[RLE]:
    """n different rectangles."""
    made = []
    for i in range(n):
        mask = np.zeros(size, dtype=np.bool_)
        mask[i % 20 : i % 20 + 5, i % 30 : i % 30 + 7] = True
        made.append(encode(mask))
    return made


def result_row(rles: Sequence[RLE], prompt: str | None = None) -> dict[str, Any]:
    """The columns of a succeeded result."""
    rows, at = [], 0
    for rle in rles:
        x, y, w, h = bbox(rle)
        n = len(rle["counts"])
        point_x, point_y = (None, None) if prompt else (x + 0.5, y + 0.5)
        rows.append(MaskRow(area(rle), x, y, w, h, 0.75, 0.5, point_x, point_y, 0, 0, 40, 30, prompt, at, n))
        at += n
    return {
        "state": ResultState.SUCCEEDED,
        "height": 30,
        "width": 40,
        "orientation": 1,
        "masks": rows,
        "rle": "".join(r["counts"] for r in rles).encode(),
        "model": "sam_tiny",
        "model_revision": "r1",
        "precision": "exact",
        "timings_ms": {"queue": 1.5, "encode": 2.0},
    }


def failure_row(reason: ItemReason) -> dict[str, Any]:
    return {"state": ResultState.FAILED, "reason": reason, "detail": f"it was {reason}", "retryable": False}


@dataclass(frozen=True)
class Service:
    client: Client
    engine: Engine
    tenant: str
    key: str
    database: str

    async def submit(self, n: int = 2, **more: Any) -> dict[str, Any]:
        """A new automatic job of n items."""
        answer = await self.client.post("/v1/jobs", json={**body(n), **more})
        assert answer.status_code == 202, answer.text
        job: dict[str, Any] = answer.json()
        return job

    async def job(self, job_id: str) -> dict[str, Any]:
        answer = await self.client.get(f"/v1/jobs/{job_id}")
        assert answer.status_code == 200, answer.text
        job: dict[str, Any] = answer.json()
        return job

    def claim(self, job_id: str, chunk_no: int = 0) -> lease.Fence:
        """Lease a chunk, as a worker does."""
        job = _uuid(job_id)
        with self.engine.begin() as connection:
            connection.execute(*lease.start_job(job))
            row = connection.execute(*lease.claim(job, chunk_no, worker="worker", lease_seconds=60)).one()
        return lease.Fence(job, chunk_no, row.fence)

    def write(self, fence: lease.Fence, rows: dict[int, dict[str, Any]]) -> None:
        """Record the results of some items of a leased chunk, as a worker does after a batch."""
        written = [
            {"job_id": fence.job_id, "index": i, "fence": fence.fence, "attempt": 1, **r} for i, r in rows.items()
        ]
        failed = [r["reason"] for r in rows.values() if "reason" in r]
        reasons = {reason: failed.count(reason) for reason in failed}
        with self.engine.begin() as connection:
            more_ok = len(rows) - len(failed)
            counts = lease.record(fence, lease_seconds=60, more_ok=more_ok, reasons=reasons, inflight=[])
            connection.execute(*counts).one()
            for row in written:
                connection.execute(insert(results).values(created_at=now(), **row))

    def complete(self, fence: lease.Fence) -> None:
        with self.engine.begin() as connection:
            connection.execute(*lease.complete(fence)).one()

    def finish(self, job_id: str) -> None:
        with self.engine.begin() as connection:
            assert finish_job(connection, _uuid(job_id))

    def work(self, job_id: str, row_of: Callable[[int], dict[str, Any]], n: int, chunk: int = 1) -> None:
        """Work off a whole job of n items in chunks of `chunk`, and finish it."""
        for chunk_no in range(-(-n // chunk)):
            fence = self.claim(job_id, chunk_no)
            indexes = range(chunk_no * chunk, min(n, (chunk_no + 1) * chunk))
            self.write(fence, {i: row_of(i) for i in indexes})
            self.complete(fence)
        self.finish(job_id)


def _uuid(job_id: str) -> UUID:
    found = read_job_id(job_id)
    assert found is not None
    return found


def body(n: int = 2) -> dict[str, Any]:
    """An automatic job of n inline items."""
    return {"task": {"type": "auto"}, "input": {"items": [{"image": f"s3://bucket/{i}.jpg"} for i in range(n)]}}


@pytest.fixture
async def service(module_database: str, engine: Engine, anyio_backend: str) -> AsyncIterator[Service]:  # noqa: ARG001
    tenant, key = new_tenant(engine)
    async with serving(settings(module_database, output_buckets=("bucket",)), key) as client:
        yield Service(client, engine, tenant, key, module_database)
