"""Redis that is killed, frozen, full, emptied or absent: work is delayed, and no submit fails."""

import time
from uuid import UUID

import pytest
import redis

from db.ids import show_job_id
from tests.faults.cluster import Cluster, until
from tests.faults.oracle import outcome
from workers.broker import chunk_of, list_name, list_names, message

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


@pytest.mark.parametrize("seconds", [15, 60])
def test_frozen(cluster: Cluster, seconds: float) -> None:
    """For longer than every socket timeout: 2 s of the dispatcher, 5 s of workers; and for a minute, by which time
    Kombu's own look at a BRPOP without an answer (about 51 s) has come too."""
    job = cluster.submit(4000, size=2)
    cluster.wait_leased(job)
    try:
        with cluster.frozen("redis"):
            started = time.monotonic()
            shown = api_submit(cluster, 5)
            assert time.monotonic() - started < 5, "a submit waits for Redis"
            time.sleep(seconds)
            before = _claims(cluster)
        took = until("new claims", 10, lambda: _claims(cluster) > before)
        print(f"work goes on {took:.1f} s after Redis thawed from {seconds:.0f} s")
        assert api_wait(cluster, shown) == "succeeded"
    finally:
        with cluster.stack.client() as client:
            assert client.post(f"/v1/jobs/{show_job_id(job)}:cancel").status_code == 200


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


def test_a_few_lost_among_many(cluster: Cluster) -> None:
    """One job's messages are lost while another's keep coming, so that the dispatcher never has nothing to send."""
    large = cluster.submit(20_000, size=1)
    cluster.wait_leased(large)
    with cluster.frozen("worker-1", "worker-2"):
        small = cluster.submit(4, size=1)
        until("the small job's messages", 10, lambda: _messages_of(cluster, small) == 4)
        _lose(cluster, small)
    try:
        assert cluster.wait_done(small, 10) < 10
        assert not cluster.is_done(large)
    finally:
        with cluster.stack.client() as client:
            assert client.post(f"/v1/jobs/{show_job_id(large)}:cancel").status_code == 200


def test_announced_again_while_in_work(cluster: Cluster) -> None:
    """Messages of chunks that are being worked on come again and again, as from somebody who shares the lists."""
    job, again = cluster.submit(320, size=80), 0
    while not cluster.is_done(job):
        again += cluster.ask("SELECT count(*) FROM chunks WHERE job_id = :job AND state = 'leased'", job=job)
        for chunk in range(4):
            cluster.redis.lpush(list_name("null", 0), message(job, chunk))
        time.sleep(0.2)
    assert again > 0, "no chunk was in work when it was announced again"
    until("the doubled messages are worked off", 10, lambda: cluster.queued() == 0)
    assert outcome(cluster, job) == {"ok": 320}
    assert cluster.ask("SELECT sum(attempts) FROM chunks WHERE job_id = :job", job=job) == 4


def test_taken_and_never_claimed(cluster: Cluster) -> None:
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


def _raw(cluster: Cluster, job: UUID) -> list[tuple[str, bytes]]:
    """The messages of a job that wait in Redis, and the list that each is in."""
    waiting = ((key, raw) for key in list_names("null") for raw in cluster.redis.lrange(key, 0, -1))
    return [(key, raw) for key, raw in waiting if isinstance(raw, bytes) and (chunk_of(raw) or (None,))[0] == job]


def _messages_of(cluster: Cluster, job: UUID) -> int:
    return len(_raw(cluster, job))


def _lose(cluster: Cluster, job: UUID) -> None:
    for key, raw in _raw(cluster, job):
        cluster.redis.lrem(key, 1, raw)  # type: ignore[arg-type]
