"""The faults that `make test` includes: each kills, drops or doubles something, and nothing is lost."""

import time
from uuid import uuid4

from sqlalchemy import update

from db.ids import show_job_id
from db.queues import PROTOCOL
from db.statements.leader import wake_dispatcher
from db.tables import jobs
from tests.faults import hostile, outputs
from tests.faults.cluster import LEADER, LEASE, Cluster, until
from tests.faults.oracle import outcome
from workers.broker import list_name, message


def test_a_killed_worker_costs_its_lease(cluster: Cluster) -> None:
    job = cluster.submit(120, size=12)
    cluster.wait_leased(job, by="worker-2")
    until("a first batch", 10, lambda: cluster.results(job))
    held = cluster.held_by("worker-2")
    cluster.restart("worker-2")
    # Others have its chunks within the lease and 5 s.
    until("its chunks are claimed by others", LEASE + 5, lambda: cluster.claimed_since(job, held))
    cluster.wait_done(job)
    assert outcome(cluster, job) == {"ok": 120}


def test_sigterm_gives_back_uncharged_and_leaves_fast(cluster: Cluster) -> None:
    cluster.wait_registered("worker-2")
    job = cluster.submit(120, size=12)
    cluster.wait_leased(job, by="worker-2")
    started = time.monotonic()
    cluster.restart("worker-2", hurry=False)
    assert time.monotonic() - started < 10
    cluster.wait_done(job)
    assert cluster.ask("SELECT max(attempts) FROM chunks WHERE job_id = :job", job=job) == 1
    assert cluster.ask("SELECT max(fence) FROM chunks WHERE job_id = :job", job=job) > 1


def test_a_zombie_writes_nothing(cluster: Cluster) -> None:
    job = cluster.submit(80, size=8)
    cluster.wait_leased(job, by="worker-1")
    held = cluster.held_by("worker-1")
    pid = cluster.stack.supervisor.pid("worker-1")
    with cluster.frozen("worker-1"):
        until("its chunks are claimed by others", 30, lambda: cluster.claimed_since(job, held))
    cluster.wait_done(job)
    assert cluster.stack.supervisor.pid("worker-1") == pid  # it lives, and the audit saw no write of it


def test_doubled_messages_are_worked_off_once(cluster: Cluster) -> None:
    job = cluster.submit(24, size=4)
    for chunk in range(6):
        for _ in range(3):
            cluster.redis.lpush(list_name("null", 0), message(job, chunk))
    for nonsense in (message(job, 10_000), message(uuid4(), 0), b"nonsense"):
        cluster.redis.lpush(list_name("null", 0), nonsense)
    cluster.wait_done(job)
    assert outcome(cluster, job) == {"ok": 24}
    assert cluster.ask("SELECT sum(attempts) FROM chunks WHERE job_id = :job", job=job) == 6


def test_a_job_of_a_newer_protocol_waits_uncharged(cluster: Cluster) -> None:
    """It has a queue of its own, which nobody serves here. Messages come to workers of this release all the same."""
    job = cluster.submit(24, size=4, protocol=PROTOCOL + 1)
    for chunk in range(6):
        cluster.redis.lpush(list_name("null", 0), message(job, chunk))
    until("the workers drop them", 10, lambda: cluster.queued() == 0)
    with cluster.stack.client() as client:
        shown = client.get(f"/v1/jobs/{show_job_id(job)}").json()
    assert (shown["state"], shown["waiting_for"]) == ("pending", "NO_WORKER")
    untouched = "SELECT count(*) FROM chunks WHERE job_id = :job AND state IN ('ready', 'dispatched') AND attempts = 0"
    assert cluster.ask(untouched, job=job) == 6
    with cluster.engine.begin() as connection:
        connection.execute(update(jobs).where(jobs.c.id == job).values(protocol=1))
        connection.execute(*wake_dispatcher())
    cluster.wait_done(job)
    assert outcome(cluster, job) == {"ok": 24}


def test_flushed_redis_is_announced_again(cluster: Cluster) -> None:
    with cluster.frozen("worker-1", "worker-2"):
        job = cluster.submit(8, size=1)
        until("messages", 5, cluster.queued)
        cluster.redis.flushall()
    assert cluster.wait_done(job, 15) < 15


def test_a_job_goes_on_through_a_terminated_backend(cluster: Cluster) -> None:
    job = cluster.submit(60, size=6)
    cluster.wait_leased(job)
    with cluster.admin.connect() as connection:
        kill = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE usename = 'maskworks'"
        connection.exec_driver_sql(kill)
    cluster.engine.dispose()
    cluster.wait_done(job)
    assert outcome(cluster, job) == {"ok": 60}


def test_a_deadlocked_batch_is_tried_again(cluster: Cluster) -> None:
    """A worker writes its batch (chunk, then results) against somebody who goes the other way: 40P01."""
    before, victims = hostile.deadlocks(cluster), 0
    job = cluster.submit(300, size=60)
    for _ in range(6):
        victims += hostile.embrace(
            cluster, job, hostile.leased(cluster, job), hostile.CLAIM_RESULTS, hostile.TOUCH_CHUNK
        )
        if victims == 2:
            break
    assert victims, "no worker was the victim of a deadlock"
    cluster.wait_done(job, 60)
    assert outcome(cluster, job) == {"ok": 300}
    until("the count of deadlocks", 15, lambda: hostile.deadlocks(cluster) > before)


def test_a_writer_of_an_output_that_dies(cluster: Cluster) -> None:
    """Its file is in the bucket and not recorded. The next writer leaves one of each, and one manifest."""
    job = cluster.submit(30, size=10)
    cluster.wait_done(job)
    cluster.stack.stop_child("dispatcher", hurry=True)
    outputs.ask_for(cluster, job, ("coco", "jsonl"))
    with cluster.second_dispatcher(crash_at="uploaded:2") as second:
        assert cluster.wait_exit(second, LEADER + 20) == -9
    cluster.stack.start_child("dispatcher")
    outputs.check(cluster, job, 30)
