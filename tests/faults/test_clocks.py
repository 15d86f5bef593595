"""Clocks that are ten minutes off change nothing: leases, backoff, deadlines and leadership are the database's.

The pid of each program is looked up in the notes that its shifted clock left, so that no test runs on a right clock.
"""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import httpx
import pytest

from tests.faults.clocks import is_off, living_elsewhen, shifted
from tests.faults.cluster import LEASE, Cluster, until
from tests.faults.oracle import outcome

pytestmark = pytest.mark.faults
ENV = {"MASKWORKS_NULL_DELAY": "0.02"}
MINUTES = pytest.mark.parametrize("seconds", [-600, 600], ids=["past", "future"])


@MINUTES
def test_a_worker(cluster: Cluster, tmp_path: Path, seconds: int) -> None:
    folder = tmp_path / "clock"
    victim = cluster.stack.add_worker(shifted(folder, seconds), keep=False)
    cluster.extras.append(victim)
    cluster.wait_registered(victim)
    assert is_off(cluster, victim, folder, seconds)
    job = cluster.submit(400, size=4)
    cluster.wait_leased(job, by=victim)
    cluster.wait_done(job)
    assert outcome(cluster, job) == {"ok": 400}
    assert charged(cluster, job) < 1.5
    # The lease of one that is killed runs out when it should.
    again = cluster.submit(400, size=4)
    cluster.wait_leased(again, by=victim)
    held = cluster.held_by(victim)
    cluster.stack.supervisor.stop(victim, hurry=True)
    until("its chunks are claimed by others", LEASE + 5, lambda: cluster.claimed_since(again, held))
    cluster.wait_done(again)


@MINUTES
def test_the_dispatcher(cluster: Cluster, tmp_path: Path, seconds: int) -> None:
    folder = tmp_path / "clock"
    with living_elsewhen(cluster, "dispatcher", folder, seconds):
        until("its clock is off", 20, lambda: is_off(cluster, "dispatcher", folder, seconds))
        job = cluster.submit(60, size=4)
        cluster.wait_done(job)
        assert charged(cluster, job) < 1.5
        killed = cluster.submit(400, size=4)
        cluster.wait_leased(killed, by="worker-2")
        held = cluster.held_by("worker-2")
        cluster.restart("worker-2")
        until("its chunks are claimed by others", LEASE + 5, lambda: cluster.claimed_since(killed, held))
        cluster.wait_done(killed)
        late = cluster.submit(2000, size=64, deadline=datetime.now(UTC) + timedelta(seconds=3))
        cluster.wait_done(late, 10)
        off = "SELECT extract(epoch FROM ended_at - deadline) FROM jobs WHERE id = :job"
        assert cluster.state(late) == "expired" and 0 <= cluster.ask(off, job=late) < 5
        with cluster.frozen("worker-1", "worker-2"):
            lost = cluster.submit(8, size=1)
            until("messages", 10, cluster.queued)
            cluster.redis.flushall()
        cluster.wait_done(lost)
    assert outcome(cluster, job) == {"ok": 60} and outcome(cluster, killed) == {"ok": 400}


@MINUTES
def test_the_front_door(cluster: Cluster, tmp_path: Path, seconds: int) -> None:
    folder = tmp_path / "clock"
    body = {"model": "null", "task": {"type": "auto"}, "input": {"items": [{"image": i} for i in cluster.images(6)]}}
    with living_elsewhen(cluster, "api", folder, seconds), cluster.stack.client(timeout=70) as client:
        until("its clock is off", 20, lambda: is_off(cluster, "api", folder, seconds))
        until("the front door", 20, lambda: ready(client))
        soon = (datetime.now(UTC) + timedelta(minutes=15)).isoformat()
        answer = client.post("/v1/jobs", json={**body, "deadline": soon})
        assert answer.status_code == 202, answer.text
        created = datetime.fromisoformat(answer.json()["create_time"])
        assert abs(created - datetime.now(UTC)) < timedelta(minutes=1)
        shown = client.get(answer.headers["Location"], params={"wait": 40}).json()
        assert shown["state"] == "succeeded" and shown["counts"]["succeeded"] == 6


def charged(cluster: Cluster, job: UUID) -> float:
    """Attempts a chunk. Whoever believed in a wrong clock would take every lease away as soon as it is given; a worker
    that starves on a busy machine loses one now and then."""
    return float(cluster.ask("SELECT avg(attempts) FROM chunks WHERE job_id = :job", job=job))


def ready(client: httpx.Client) -> bool:
    try:
        return client.get("/readyz").status_code == 200
    except httpx.TransportError:
        return False
