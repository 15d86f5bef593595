"""Calls whose worker answers, dies, stops, or never comes; a Redis that is away, frozen or full."""

import asyncio
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import redis
from sqlalchemy import Engine

from db.states import ItemReason
from intake.calls import HELD, SEEN_MS, Call, Failure, Reply, message, read_message, workers_key
from tests.api.conftest import new_tenant, serving, settings
from tests.api.instant.conftest import AUTO, NAMED, Service, refused

pytestmark = pytest.mark.anyio
OF_REASON = {
    ItemReason.OBJECT_NOT_FOUND: (422, "OBJECT_NOT_FOUND"),
    ItemReason.ACCESS_DENIED: (422, "ACCESS_DENIED"),
    ItemReason.BUCKET_NOT_ALLOWED: (422, "BUCKET_NOT_ALLOWED"),
    ItemReason.HOST_NOT_ALLOWED: (422, "HOST_NOT_ALLOWED"),
    ItemReason.UNSUPPORTED_FORMAT: (422, "UNSUPPORTED_FORMAT"),
    ItemReason.IMAGE_TOO_LARGE: (422, "IMAGE_TOO_LARGE"),
    ItemReason.DECODE_FAILED: (422, "DECODE_FAILED"),
    ItemReason.WRONG_PAGE: (422, "WRONG_PAGE"),
    ItemReason.PROMPT_OUT_OF_BOUNDS: (422, "PROMPT_OUT_OF_BOUNDS"),
    ItemReason.INVALID_MANIFEST_LINE: (422, "INVALID_MANIFEST_LINE"),
    ItemReason.TASK_NOT_SERVED: (422, "TASK_NOT_SERVED"),
    ItemReason.STORAGE_UNAVAILABLE: (503, "STORAGE_UNAVAILABLE"),
    ItemReason.GPU_OUT_OF_MEMORY: (503, "GPU_OUT_OF_MEMORY"),
    ItemReason.OUT_OF_MEMORY: (503, "OUT_OF_MEMORY"),
    ItemReason.WORKER_LOST: (503, "WORKER_LOST"),
    ItemReason.TIMEOUT: (504, "TIMEOUT"),
    ItemReason.INTERNAL: (500, "INTERNAL"),
}
MASKS = (
    b'{"size":[3,4],"orientation":1,"frames":null,"masks":[],"model":"null","model_revision":"1","precision":"exact",'
    b'"timings_ms":{},"warnings":[]}'
)


def keys(calls: Service) -> set[bytes]:
    """What calls have left in Redis, but for the workers' signs of life."""
    with redis.Redis.from_url(calls.redis_url) as client:
        found: Any = client.keys("now:*")
        return set(found) - {workers_key("null").encode()}


async def test_a_call_and_its_answer(calls: Service) -> None:
    asked = asyncio.create_task(calls.upload(b"octets\n\0of an image", AUTO))
    taken = await asyncio.to_thread(calls.take)
    call, octets = read_message(Call, taken.message)
    assert octets == b"octets\n\0of an image" and call.task == {"type": "auto"} and 0 < taken.seconds <= call.seconds
    assert calls.worker.answer(taken.name, message(Reply(), MASKS))
    answer = await asked
    assert (answer.status_code, answer.content) == (200, MASKS)
    assert keys(calls) == set()


@pytest.mark.parametrize("reason", ItemReason)
async def test_each_reason_has_its_status(calls: Service, reason: ItemReason) -> None:
    """docs/rest.md has the same table."""
    asked = asyncio.create_task(calls.segment())
    taken = await asyncio.to_thread(calls.take)
    calls.worker.answer(taken.name, message(Reply(failure=Failure(reason=reason, detail="what happened"))))
    answer = await asked
    assert refused(answer) == OF_REASON[reason]
    assert ("retry-after" in answer.headers) == (answer.status_code in (503, 504))
    assert ("what happened" in answer.text) == (reason is not ItemReason.INTERNAL)


async def test_without_a_worker(calls: Service) -> None:
    calls.worker.sign_off()
    answer = await calls.segment()
    assert refused(answer) == (503, "NO_WORKER") and answer.headers["retry-after"]
    assert keys(calls) == set()


async def test_a_worker_that_was_not_seen_for_a_while(calls: Service) -> None:
    with redis.Redis.from_url(calls.redis_url) as client:
        client.zadd(workers_key("null"), {"a-worker": int(client.time()[0]) * 1000 - SEEN_MS})
    assert refused(await calls.segment()) == (503, "NO_WORKER")


async def test_the_last_worker_leaves_while_a_call_waits(calls: Service) -> None:
    asked = asyncio.create_task(calls.segment())
    await until_held(calls)
    calls.worker.sign_off()
    assert refused(await asked) == (503, "NO_WORKER")
    assert keys(calls) == set()


async def test_a_worker_that_leaves_with_a_call(calls: Service) -> None:
    """It is told from one that is slow at once, and not when the call's time is over."""
    asked = asyncio.create_task(calls.segment())
    await asyncio.to_thread(calls.take)
    calls.worker.sign_off()
    answer = await asked
    assert refused(answer) == (503, "WORKER_LOST") and answer.headers["retry-after"]
    assert keys(calls) == set()


async def test_a_worker_that_dies_between_the_list_and_the_call(calls: Service) -> None:
    asked = asyncio.create_task(calls.segment())
    assert await asyncio.to_thread(calls.worker.wait, 10) is not None
    assert refused(await asked) == (503, "WORKER_LOST")
    assert keys(calls) == set()


async def test_no_answer_in_time(calls: Service) -> None:
    asked = asyncio.create_task(calls.segment())
    taken = await asyncio.to_thread(calls.take)
    answer = await asked
    assert refused(answer) == (504, "DEADLINE_EXCEEDED") and answer.headers["retry-after"]
    assert calls.worker.forsaken([taken.name]) == {taken.name}
    assert not calls.worker.answer(taken.name, message(Reply(), MASKS)) and keys(calls) == set()


async def test_a_call_given_back_is_the_next_one(calls: Service) -> None:
    asked = [asyncio.create_task(calls.segment()) for _ in range(2)]
    await until_held(calls, 2)
    first = calls.worker.wait(1)
    assert first is not None
    calls.worker.give_back(*first)
    assert calls.worker.wait(1) == first
    calls.worker.sign_off()
    await asyncio.gather(*asked)


async def test_a_tenant_has_so_many_calls(calls: Service, engine: Engine) -> None:
    asked = [asyncio.create_task(calls.segment()) for _ in range(2)]
    await until_held(calls, 2)
    answer = await calls.segment()
    assert refused(answer) == (429, "TOO_MANY_CALLS") and answer.headers["retry-after"]
    _, key = new_tenant(engine)
    other = await calls.client.post("/v1/segment", json=NAMED, headers={"Authorization": f"Bearer {key}"})
    assert refused(other) == (503, "OVERLOADED")  # both hold all of the memory
    calls.worker.sign_off()
    await asyncio.gather(*asked)
    assert refused(await calls.segment()) == (503, "NO_WORKER")  # the slots are given back


async def test_calls_of_an_api_that_died_count_until_their_time_is_over(calls: Service) -> None:
    with redis.Redis.from_url(calls.redis_url) as client:
        now = int(client.time()[0]) * 1000
        client.zadd(HELD, {f"dead.{9 * 2**20}": now + 100_000})
        assert refused(await calls.segment()) == (503, "OVERLOADED")
        client.zadd(HELD, {f"dead.{9 * 2**20}": now - 1000})
    asked = asyncio.create_task(calls.segment())
    await asyncio.to_thread(calls.take)
    calls.worker.sign_off()
    await asked


@pytest.mark.parametrize("reply", [b"", b"nonsense", b"{}", b'{"shape":7}\n', b"[" * 100_000 + b"\n"])
async def test_an_answer_that_cannot_be_read(calls: Service, reply: bytes) -> None:
    asked = asyncio.create_task(calls.segment())
    taken = await asyncio.to_thread(calls.take)
    calls.worker.answer(taken.name, reply)
    assert refused(await asked) == (500, "INTERNAL")


async def test_a_full_redis(calls: Service) -> None:
    with redis.Redis.from_url(calls.redis_url) as client:
        client.config_set("maxmemory", "1")  # below what the server itself needs
        try:
            assert refused(await calls.segment()) == (503, "QUEUE_UNAVAILABLE")
        finally:
            client.config_set("maxmemory", "0")


async def test_no_redis(module_database: str, engine: Engine) -> None:
    _, key = new_tenant(engine)
    for url in (None, "redis://127.0.0.1:1/0"):
        async with serving(settings(module_database, redis_url=url), key) as client:
            answer = await client.post("/v1/segment", json=NAMED)
            assert refused(answer) == (503, "QUEUE_UNAVAILABLE") and answer.headers["retry-after"]
            assert (await client.post("/v1/jobs", json=SUBMIT)).status_code == 202


SUBMIT = {"model": "null", "task": {"type": "auto"}, "input": {"items": [{"image": "s3://bucket/a.jpg"}]}}


@contextmanager
def frozen(process: int) -> Iterator[None]:
    os.kill(process, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(process, signal.SIGCONT)


async def test_redis_freezes_under_a_call(calls: Service) -> None:
    with redis.Redis.from_url(calls.redis_url) as client:
        process = int(client.info("server")["process_id"])
    asked = asyncio.create_task(calls.segment())
    await asyncio.to_thread(calls.take)
    with frozen(process):
        answer = await asked
        assert refused(answer) == (503, "QUEUE_UNAVAILABLE") and answer.headers["retry-after"]
        assert (await calls.client.post("/v1/jobs", json=SUBMIT)).status_code == 202


async def test_redis_closes_idle_connections(calls: Service) -> None:
    calls.worker.sign_off()
    assert refused(await calls.segment()) == (503, "NO_WORKER")
    with redis.Redis.from_url(calls.redis_url) as client:
        client.client_kill_filter(_type="normal")
    assert refused(await calls.segment()) == (503, "NO_WORKER")


async def until_held(calls: Service, n: int = 1) -> None:
    with redis.Redis.from_url(calls.redis_url) as client:
        for _ in range(1000):
            if client.zcard(HELD) == n:
                return
            await asyncio.sleep(0.01)
    raise AssertionError("the calls did not come")
