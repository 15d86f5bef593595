"""A worker in this process, and the API that asks it: both with the null model, over the real stores.

ask     posts to the API: `ask(…)` is a future of the answer
"""

import json
from collections.abc import Callable, Iterator
from concurrent.futures import Future, wait
from typing import Any

import httpx
import pytest
from anyio.from_thread import start_blocking_portal
from sqlalchemy import Engine

from tests.api.conftest import new_tenant, serving
from tests.api.conftest import settings as api_settings
from workers.settings import Settings

Ask = Callable[..., "Future[httpx.Response]"]
AUTO: dict[str, Any] = {"model": "null", "task": {"type": "auto"}}


@pytest.fixture
def ask(engine: Engine, worker_settings: Settings) -> Iterator[Ask]:
    """One application answers all: two must not be made at a time, because FastAPI silences warnings meanwhile."""
    _, key = new_tenant(engine)
    configured = api_settings(worker_settings.database_url, redis_url=worker_settings.redis_url, call_seconds=20)
    begun: list[Future[httpx.Response]] = []
    with start_blocking_portal() as portal, portal.wrap_async_context_manager(serving(configured, key)) as client:

        async def post(
            path: str, request: dict[str, Any], image: bytes | None, headers: dict[str, str]
        ) -> httpx.Response:
            if image is None:
                return await client.post(path, json=request, headers=headers)
            files: Any = {"image": ("a", image), "request": (None, json.dumps(request))}
            return await client.post(path, files=files, headers=headers)

        def asked(
            request: dict[str, Any] = AUTO, image: bytes | None = None, path: str = "/v1/segment", **headers: str
        ) -> "Future[httpx.Response]":
            named = {name.replace("_", "-"): value for name, value in headers.items()}
            begun.append(portal.start_task_soon(post, path, request, image, named))
            return begun[-1]

        yield asked
        wait(begun)
