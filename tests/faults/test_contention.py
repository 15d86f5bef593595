"""Contention in Postgres: no connection left, locked rows, deadlocks, outdated snapshots.

The front door says 503 + Retry-After within seconds and needs no restart; workers and the leader try again.
"""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from uuid import UUID

import httpx
import pytest
from sqlalchemy import text

from db.ids import show_job_id
from tests.faults import hostile
from tests.faults.cluster import LEASE, Cluster, until
from tests.faults.oracle import outcome

pytestmark = pytest.mark.faults
ENV = {"MASKWORKS_POOL_SIZE": "2"}
CALLERS = 30
"""Far more than the front door's two connections and four above them."""


def body(cluster: Cluster) -> dict[str, object]:
    return {"model": "null", "task": {"type": "auto"}, "input": {"items": [{"image": cluster.images(1)[0]}]}}


def timed(call: httpx.Client, path: str) -> tuple[httpx.Response, float]:
    started = time.monotonic()
    return call.get(path), time.monotonic() - started


def test_a_full_pool_answers_and_recovers(cluster: Cluster) -> None:
    job = cluster.submit(60, size=6)
    path = f"/v1/jobs/{show_job_id(job)}"
    with cluster.stack.client(timeout=60) as client, ThreadPoolExecutor(CALLERS) as callers:
        assert client.get(path).status_code == 200  # the key is known from now on
        with hostile.hostile(cluster) as connection:
            connection.exec_driver_sql("LOCK TABLE jobs IN ACCESS EXCLUSIVE MODE")
            asked = [callers.submit(timed, client, path) for _ in range(CALLERS)]
            until("callers that wait", 10, lambda: hostile.waits(cluster, connection))
            alive, took = timed(client, "/healthz")
            assert alive.status_code == 200 and took < 5, "a full pool must not stop the process from answering"
            answers = [each.result() for each in asked]
        print(f"{CALLERS} callers of a full pool: the slowest was answered after {max(t for _, t in answers):.1f} s")
        assert {answer.status_code for answer, _ in answers} == {503}
        assert all(int(answer.headers["Retry-After"]) > 0 for answer, _ in answers)
        # Ten seconds for a lock, five for a connection before it; nobody hangs for longer.
        assert max(t for _, t in answers) < 20
        until("the front door", 5, lambda: client.get(path).status_code == 200)
        assert client.post("/v1/jobs", json=body(cluster)).status_code == 202
    cluster.wait_done(job)
    assert outcome(cluster, job) == {"ok": 60}


@contextmanager
def connections_limited(cluster: Cluster, limit: int) -> Iterator[None]:
    """Our role may have so many connections, and has none now: others get `53300 too many connections`."""
    with cluster.admin.begin() as connection:
        connection.exec_driver_sql(f"ALTER ROLE maskworks CONNECTION LIMIT {limit}")
    terminate(cluster)
    try:
        yield
    finally:
        with cluster.admin.begin() as connection:
            connection.exec_driver_sql("ALTER ROLE maskworks CONNECTION LIMIT -1")
        cluster.engine.dispose()


def terminate(cluster: Cluster) -> None:
    with cluster.admin.begin() as connection:
        kill = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE usename = 'maskworks'"
        connection.exec_driver_sql(kill)
    cluster.engine.dispose()


@pytest.mark.parametrize("left", [0, 3])
def test_no_connection_left(cluster: Cluster, left: int) -> None:
    """For longer than a lease; with three of them, API, dispatcher and workers take them from each other."""
    job = cluster.submit(100, size=10)
    cluster.wait_leased(job)
    codes: set[int] = set()
    with cluster.stack.client(timeout=30) as client:
        with connections_limited(cluster, left):
            until_then = time.monotonic() + 2 * LEASE
            while time.monotonic() < until_then:
                answer = client.post("/v1/jobs", json=body(cluster))
                codes.add(answer.status_code)
                assert answer.status_code == 202 or int(answer.headers["Retry-After"]) > 0
        assert codes == {503} if left == 0 else codes <= {202, 503}, codes
        until("the front door", 15, lambda: client.post("/v1/jobs", json=body(cluster)).status_code == 202)
    cluster.wait_done(job)
    assert outcome(cluster, job) == {"ok": 100}


def test_a_deadlocked_reaper_is_tried_again(cluster: Cluster) -> None:
    cluster.wait_registered("worker-2")
    before = hostile.deadlocks(cluster)
    job = cluster.submit(120, size=60)
    cluster.wait_leased(job, by="worker-2")
    chunk = min(cluster.held_by("worker-2"))
    inflight = "SELECT cardinality(inflight) FROM chunks WHERE job_id = :job AND chunk_no = :chunk"
    until("images in flight", 10, lambda: cluster.ask(inflight, job=job, chunk=chunk))
    cluster.restart("worker-2")
    assert hostile.embrace(cluster, job, chunk, hostile.CLAIM_SUSPECTS, hostile.TOUCH_CHUNK)
    cluster.wait_done(job, 60)
    assert outcome(cluster, job) == {"ok": 120}
    until("the count of deadlocks", 15, lambda: hostile.deadlocks(cluster) > before)


def test_a_deadlocked_cancel_says_come_again(cluster: Cluster) -> None:
    job = cluster.submit(400, size=4)
    chunk = cluster.ask("SELECT max(chunk_no) FROM chunks WHERE job_id = :job", job=job)
    with cluster.stack.client() as client:
        path = f"/v1/jobs/{show_job_id(job)}:cancel"
        with hostile.hostile(cluster) as connection:
            connection.execute(text(hostile.TOUCH_CHUNK), {"job": job, "chunk": chunk})
            with hostile.beside(lambda: client.post(path)) as answer:
                until("the cancel in our way", 8, lambda: hostile.waits(cluster, connection), every=0.01)
                connection.execute(text(hostile.TOUCH_JOB), {"job": job})
                assert answer.result().status_code == 503 and int(answer.result().headers["Retry-After"]) > 0
        assert client.post(path).json()["state"] == "cancelled"


def test_outdated_snapshots_are_tried_again(cluster: Cluster) -> None:
    """Under REPEATABLE READ, which nobody asked for, a row that was changed meanwhile is an error: 40001."""
    with cluster.admin.begin() as connection:
        connection.exec_driver_sql("ALTER ROLE maskworks SET default_transaction_isolation = 'repeatable read'")
    terminate(cluster)
    log = cluster.stack.folder.logs / "postgres.log"
    jobs: dict[UUID, int] = {}
    try:
        for _ in range(10):  # a connection that was in autocommit before asks for READ COMMITTED itself, and is spared
            job = cluster.submit(300, size=60)
            hostile.outdate(cluster, job, hostile.leased(cluster, job))
            # Their ends are races of their own.
            jobs |= {job: 300} | dict.fromkeys((cluster.submit(4, size=1) for _ in range(20)), 4)
            for each in jobs:
                cluster.wait_done(each, 60)
            if "could not serialize access" in log.read_text():
                break
    finally:
        with cluster.admin.begin() as connection:
            connection.exec_driver_sql("ALTER ROLE maskworks RESET default_transaction_isolation")
        terminate(cluster)
    assert "could not serialize access" in log.read_text(), "nobody met an outdated snapshot"
    assert {job: outcome(cluster, job) for job in jobs} == {job: {"ok": n} for job, n in jobs.items()}
