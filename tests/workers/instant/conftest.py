"""A worker in this process, and the API that asks it: both with the null model, over the real stores.

ask     posts to the API, in a thread of its own: `ask(…)` is a future of the answer
"""

import asyncio
import json
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import httpx
import pytest
from sqlalchemy import Engine

from tests.api.conftest import new_tenant, serving
from tests.api.conftest import settings as api_settings
from workers.settings import Settings

Ask = Callable[..., "Future[httpx.Response]"]
AUTO: dict[str, Any] = {"model": "null", "task": {"type": "auto"}}


@pytest.fixture
def ask(engine: Engine, worker_settings: Settings) -> Iterator[Ask]:
    _, key = new_tenant(engine)
    configured = api_settings(worker_settings.database_url, redis_url=worker_settings.redis_url, call_seconds=20)

    async def post(path: str, request: dict[str, Any], image: bytes | None, headers: dict[str, str]) -> httpx.Response:
        async with serving(configured, key) as client:
            if image is None:
                return await client.post(path, json=request, headers=headers)
            files: Any = {"image": ("a", image), "request": (None, json.dumps(request))}
            return await client.post(path, files=files, headers=headers)

    with ThreadPoolExecutor(8) as threads:

        def asked(
            request: dict[str, Any] = AUTO,
            image: bytes | None = None,
            path: str = "/v1/segment",
            **headers: str,
        ) -> "Future[httpx.Response]":
            named = {name.replace("_", "-"): value for name, value in headers.items()}
            return threads.submit(lambda: asyncio.run(post(path, request, image, named)))

        yield asked
