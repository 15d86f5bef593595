"""Redis killed, frozen, full, emptied, absent: only time is lost, and no submit fails."""

import time

import pytest
import redis

from tests.faults.cluster import Cluster, until
from tests.faults.oracle import outcome

pytestmark = pytest.mark.faults


def api_submit(cluster: Cluster, count: int) -> str:
    """Through the front door; returns the id that it shows."""
    body = {
        "model": "null",
        "task": {"type": "auto"},
        "input": {"items": [{"image": image} for image in cluster.images(count)]},
    }
    with cluster.stack.client() as client:
        answer = client.post("/v1/jobs", json=body)
    assert answer.status_code == 202, answer.text
    return str(answer.json()["id"])


def api_wait(cluster: Cluster, job: str, seconds: float = 40) -> str:
    with cluster.stack.client(timeout=70) as client:
        answer = client.get(f"/v1/jobs/{job}", params={"wait": seconds})
    return str(answer.json()["state"])


def test_a_kill_and_restart_costs_ten_seconds(cluster: Cluster) -> None:
    for _ in range(2):
        cluster.submit(400, size=2)
        until("work", 20, lambda: cluster.ask("SELECT count(*) FROM chunks WHERE state = 'leased'"))
        cluster.restart("redis")
        until("Redis", 10, lambda: _answers(cluster))
        time.sleep(0.5)
        before = _claims(cluster)
        took = until("new claims", 10, lambda before=before: _claims(cluster) > before)  # type: ignore[misc]
        print(f"work goes on {took + 0.5:.1f} s after Redis is back")
        until("the end", 60, lambda: cluster.ask("SELECT count(*) FROM jobs WHERE ended_at IS NULL") == 0)


def test_a_restart_without_its_file(cluster: Cluster) -> None:
    job = cluster.submit(100, size=2)
    cluster.wait_leased(job)
    cluster.stack.stop_child("redis", hurry=True)
    for path in (cluster.stack.folder.path / "redis").glob("appendonly*"):
        path.unlink()
    cluster.stack.start_child("redis")
    cluster.wait_done(job)
    assert outcome(cluster, job) == {"ok": 100}


def test_frozen(cluster: Cluster) -> None:
    job = cluster.submit(100, size=2)
    cluster.wait_leased(job)
    with cluster.frozen("redis"):
        started = time.monotonic()
        shown = api_submit(cluster, 5)
        assert time.monotonic() - started < 5, "a submit waits for Redis"
        time.sleep(15)
    cluster.wait_done(job, 60)
    assert api_wait(cluster, shown) == "succeeded"


def test_full(cluster: Cluster) -> None:
    cluster.redis.config_set("maxmemory", "1mb")  # below what the server itself needs: every write is refused
    try:
        job = cluster.submit(40, size=2)
        time.sleep(5)
    finally:
        cluster.redis.config_set("maxmemory", "0")
    cluster.wait_done(job)
    assert outcome(cluster, job) == {"ok": 40}


def test_filled_while_messages_wait(cluster: Cluster) -> None:
    job = cluster.submit(60, size=2)
    cluster.wait_leased(job)
    cluster.redis.config_set("maxmemory", "1mb")  # a pop is allowed, the note of what is unacknowledged is not
    try:
        time.sleep(5)
    finally:
        cluster.redis.config_set("maxmemory", "0")
    cluster.wait_done(job)


def test_popped_and_never_acknowledged(cluster: Cluster) -> None:
    with cluster.frozen("worker-1", "worker-2"):
        job = cluster.submit(8, size=1)
        until("messages in the hands of the frozen", 5, lambda: _dispatched(cluster) > cluster.queued())
        for name in ("worker-1", "worker-2"):
            cluster.restart(name)
    cluster.wait_done(job)
    assert outcome(cluster, job) == {"ok": 8}


def test_submits_succeed_without_it(cluster: Cluster) -> None:
    cluster.stack.stop_child("redis", hurry=True)
    jobs = [api_submit(cluster, 6) for _ in range(3)]
    cluster.stack.start_child("redis")
    assert [api_wait(cluster, job) for job in jobs] == ["succeeded"] * 3


def _claims(cluster: Cluster) -> int:
    return int(cluster.ask("SELECT sum(fence) FROM chunks"))


def _dispatched(cluster: Cluster) -> int:
    return int(cluster.ask("SELECT count(*) FROM chunks WHERE state = 'dispatched'"))


def _answers(cluster: Cluster) -> bool:
    try:
        return bool(cluster.redis.ping())
    except redis.RedisError:
        return False
