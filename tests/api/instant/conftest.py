"""The API over a real Redis. `worker` plays a worker by its own side of Redis, so that a test decides what it does.

calls   `.client` of one tenant, `.segment(…)` and `.upload(…)`; `.worker` answers calls for the model null
"""

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from sqlalchemy import Engine

from tests.api.conftest import Client, new_tenant, serving, settings
from workers.instant.inbox import Inbox, Taken

AUTO: dict[str, Any] = {"model": "null", "task": {"type": "auto"}}
NAMED = AUTO | {"image": "s3://bucket/a.png"}


@dataclass(frozen=True)
class Service:
    client: Client
    redis_url: str
    worker: Inbox

    async def segment(self, **changes: Any) -> httpx.Response:
        return await self.client.post("/v1/segment", json=NAMED | changes)

    async def upload(self, image: bytes, request: dict[str, Any]) -> httpx.Response:
        files: Any = {"image": ("a.png", image), "request": (None, json.dumps(request))}
        return await self.client.post("/v1/segment", files=files)

    def take(self) -> Taken:
        """Take the next call, as a worker does."""
        found = self.worker.wait(10)
        assert found is not None, "no call came"
        taken = self.worker.take(found[1])
        assert taken is not None, "nobody waits for the call"
        return taken


def refused(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["reason"]


@pytest.fixture
async def calls(
    module_database: str,
    engine: Engine,
    redis_url: str,
    anyio_backend: str,  # noqa: ARG001
) -> AsyncIterator[Service]:
    _, key = new_tenant(engine)
    configured = settings(
        module_database,
        redis_url=redis_url,
        buckets=("bucket",),
        call_seconds=5,
        calls_per_tenant=2,
        max_upload_bytes=100_000,
        max_calls_bytes=9 * 2**20,
    )
    worker = Inbox(redis_url, "a-worker", ["null"])
    worker.sign()
    async with serving(configured, key) as client:
        yield Service(client, redis_url, worker)
    worker.close()
