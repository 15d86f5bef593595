"""Calls for one image while their worker is killed or Redis goes away: a clear refusal in time, and jobs go on."""

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager

import httpx
import pytest

from tests.faults.cluster import Cluster, until
from tests.faults.oracle import outcome
from tests.jobs import picture

pytestmark = pytest.mark.faults
IN_TIME = 35.0
"""MASKWORKS_CALL_SECONDS is 30."""


@contextmanager
def asked(cluster: Cluster) -> Iterator["Future[httpx.Response]"]:
    """A call that is under way."""
    files = {"image": ("a.jpg", picture()), "request": ("", b'{"model": "null", "task": {"type": "auto"}}')}
    with ThreadPoolExecutor(1) as threads, cluster.stack.client(timeout=60) as client:
        yield threads.submit(lambda: client.post("/v1/segment", files=files))


def refused(answer: httpx.Response) -> tuple[int, str]:
    assert answer.headers["retry-after"]
    return answer.status_code, answer.json()["reason"]


def served(cluster: Cluster) -> bool:
    with asked(cluster) as call:
        return call.result(IN_TIME).status_code == 200


@pytest.mark.parametrize("point", ["call_taken", "call_done"])
def test_a_worker_that_dies_with_a_call(cluster: Cluster, point: str) -> None:
    job = cluster.submit(40, size=4)
    with cluster.frozen("worker-1", "worker-2"):
        victim = cluster.add_worker(crash_at=point)
        with asked(cluster) as call:
            assert refused(call.result(IN_TIME)) == (503, "WORKER_LOST")
        assert cluster.wait_exit(victim, 5) == -9
    cluster.wait_done(job)
    assert outcome(cluster, job) == {"ok": 40}
    until("calls are served", 20, lambda: served(cluster))


def test_redis_freezes_under_a_call(cluster: Cluster) -> None:
    job = cluster.submit(40, size=4)
    with cluster.frozen("redis"), asked(cluster) as call:
        assert refused(call.result(IN_TIME)) == (503, "QUEUE_UNAVAILABLE")
    cluster.wait_done(job)
    until("calls are served", 20, lambda: served(cluster))


def test_redis_is_killed_under_a_call(cluster: Cluster) -> None:
    job = cluster.submit(40, size=4)
    with cluster.frozen("worker-1", "worker-2"), asked(cluster) as call:
        until("the call", 10, lambda: cluster.redis.zcard("now:1:held"))
        cluster.restart("redis")
        status, _ = refused(call.result(IN_TIME))
        assert status in (503, 504)
    cluster.wait_done(job)
    until("calls are served", 20, lambda: served(cluster))
