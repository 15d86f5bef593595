"""Processes that are killed at the worst moments of the protocol."""

import gzip

import pytest
from sqlalchemy import text

from db.ids import read_job_id
from db.queues import TILED
from tests.faults.cluster import LEADER, LEASE, Cluster, until
from tests.faults.oracle import outcome
from tests.jobs import picture

pytestmark = pytest.mark.faults


@pytest.mark.parametrize("point", ["claimed", "computing", "writing", "done"])
def test_a_worker_that_dies_at(cluster: Cluster, point: str) -> None:
    victim = cluster.add_worker(crash_at=point)
    jobs = [cluster.submit(12, size=12) for _ in range(16)]  # whole jobs, so that their ends are at stake as well
    assert cluster.wait_exit(victim, 30) == -9
    # Its chunks go to others within the lease and 5 s, and then take a second.
    until("the end of every job", 30, lambda: all(cluster.is_done(job) for job in jobs))
    assert [outcome(cluster, job) for job in jobs] == [{"ok": 12}] * 16


def test_a_worker_that_dies_while_it_takes_results_over(cluster: Cluster) -> None:
    images = cluster.images(12)
    first = cluster.submit(images, size=12)
    cluster.wait_done(first)
    victim = cluster.add_worker(crash_at="copying")
    jobs = [cluster.submit(images, size=4, reuse=True) for _ in range(16)]
    assert cluster.wait_exit(victim, 30) == -9
    until("the end of every job", 30, lambda: all(cluster.is_done(job) for job in jobs))
    assert [outcome(cluster, job) for job in jobs] == [{"ok": 12}] * 16
    assert cluster.ask("SELECT count(*) FROM results WHERE reused_job = :job", job=first) == 12 * 16


@pytest.mark.parametrize("point", ["planned", "computing", "writing", "merging"])
def test_a_worker_that_dies_over_the_windows_of_an_image(cluster: Cluster, point: str) -> None:
    """It costs the tiles that it held: those that were written stay, and each image has one result."""
    image = cluster.put("large.png", picture(300, 400, kind="PNG"))
    victim = cluster.add_worker(crash_at=point)
    task = {"type": "auto", "tile": {"size": 128, "overlap": 32}}
    jobs = [cluster.submit([image], size=1, task=task, protocol=TILED) for _ in range(12)]
    assert cluster.wait_exit(victim, 30) == -9
    until("the end of every job", 60, lambda: all(cluster.is_done(job) for job in jobs))
    assert [outcome(cluster, job) for job in jobs] == [{"ok": 1}] * 12
    left = "SELECT count(*) FROM jobs WHERE tile_of IS NOT NULL AND tenant_id IS NOT NULL"
    until("no tile is left to anybody", 10, lambda: cluster.ask(left) == 0)


def test_a_dispatcher_that_dies_between_mark_and_message(cluster: Cluster) -> None:
    cluster.stack.stop_child("dispatcher", hurry=True)
    with cluster.second_dispatcher(crash_at="marked") as second:
        job = cluster.submit(40, size=4)
        assert cluster.wait_exit(second, LEADER + 20) == -9
        marked = "SELECT count(*) FROM chunks WHERE job_id = :job AND state = 'dispatched'"
        assert cluster.ask(marked, job=job) > 0 and cluster.queued() == 0
    cluster.stack.start_child("dispatcher")
    cluster.wait_done(job)
    assert outcome(cluster, job) == {"ok": 40}


def test_recovery_from_a_death_is_within_the_lease_and_five_seconds(cluster: Cluster) -> None:
    cluster.wait_registered("worker-1")
    worst = 0.0
    for _ in range(3):
        cluster.wait_registered("worker-2")
        job = cluster.submit(200, size=8)
        cluster.wait_leased(job, by="worker-2")
        held = cluster.held_by("worker-2")
        cluster.restart("worker-2")
        took = until("claims by others", LEASE + 5, lambda job=job, held=held: cluster.claimed_since(job, held))  # type: ignore[misc]
        worst = max(worst, took)
        cluster.wait_done(job)
    print(f"worst recovery after a death: {worst:.2f} s with a lease of {LEASE:.0f} s")


@pytest.mark.parametrize("point", ["listing:3", "listed:3"])
def test_a_dispatcher_that_dies_in_the_middle_of_a_manifest(cluster: Cluster, point: str) -> None:
    """Packed, so that the next dispatcher has to find the place in the text again."""
    n, images = 40_000, cluster.images(4)
    lines = "".join(f'{{"image": "{images[i % 4]}", "custom_id": "id {i}"}}\n' for i in range(n))
    uri = cluster.put("manifest.jsonl.gz", gzip.compress(lines.encode()))
    cluster.stack.stop_child("dispatcher", hurry=True)
    with cluster.second_dispatcher(crash_at=point) as second, cluster.stack.client() as client:
        body = {"model": "null", "task": {"type": "auto"}, "input": {"manifest": uri}}
        job = read_job_id(client.post("/v1/jobs", json=body).json()["id"])
        assert cluster.wait_exit(second, LEADER + 30) == -9
        assert 0 < cluster.ask("SELECT n_items FROM jobs WHERE id = :job AND state = 'ingesting'", job=job) < n
        cluster.stack.start_child("dispatcher")
        ingested = "SELECT state <> 'ingesting' FROM jobs WHERE id = :job"
        until("the end of the manifest", 60, lambda: cluster.ask(ingested, job=job))
        assert client.post(f"/v1/jobs/job_{job.hex}:cancel").json()["counts"]["total"] == n  # type: ignore[union-attr]
    exactly = "count(*) = :n AND count(DISTINCT custom_id) = :n AND max(index) = :n - 1"
    assert cluster.ask(f"SELECT {exactly} FROM items WHERE job_id = :job", job=job, n=n)


def test_a_dispatcher_that_dies_while_it_removes(cluster: Cluster) -> None:
    """It dies with the second of four kinds of rows deleted and not committed. The next one removes the rest."""
    old, kept = cluster.submit(12), cluster.submit(12)
    for job in (old, kept):
        cluster.wait_done(job)
    cluster.stack.stop_child("dispatcher", hurry=True)
    with cluster.engine.begin() as connection:
        connection.execute(
            text("UPDATE jobs SET ended_at = ended_at - interval '8 days' WHERE id = :job"), {"job": old}
        )
    with cluster.second_dispatcher(crash_at="removing:2", retention_days=7) as second:
        assert cluster.wait_exit(second, LEADER + 20) == -9
    left = "SELECT count(*) FROM items WHERE job_id = :job"
    assert cluster.results(old) == 0 and cluster.ask(left, job=old) == 12
    with cluster.stack.client() as client:
        assert client.get(f"/v1/jobs/job_{old.hex}").status_code == 404
    cluster.stack.start_child("dispatcher")
    until("the end of it", LEADER + 30, lambda: cluster.ask("SELECT 1 FROM jobs WHERE id = :job", job=old) is None)
    assert cluster.ask(left, job=old) == 0
    assert outcome(cluster, kept) == {"ok": 12} and cluster.ask(left, job=kept) == 12
