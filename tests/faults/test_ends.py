"""How jobs end when several things end them at once."""

import random
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import httpx
import pytest

from db.ids import show_job_id
from tests.faults.cluster import Cluster
from tests.faults.oracle import outcome

pytestmark = pytest.mark.faults
ENV = {"MASKWORKS_NULL_DELAY": "0.01"}
RACES = 1000


def test_last_chunks_end_together(cluster: Cluster) -> None:
    jobs = [cluster.submit(4, size=1) for _ in range(40)]
    for job in jobs:
        cluster.wait_done(job, 60)
    assert [outcome(cluster, job) for job in jobs] == [{"ok": 4}] * 40


def race(cluster: Cluster, client: httpx.Client) -> str:
    """Cancel a job of four images about when it ends, twice; how it ended."""
    job = cluster.submit(4, size=1)
    time.sleep(random.random() * 0.4)
    answers = [client.post(f"/v1/jobs/{show_job_id(job)}:cancel") for _ in range(2)]
    assert [answer.status_code for answer in answers] == [200, 200], answers[0].text
    state = cluster.state(job)
    assert state == answers[0].json()["state"] == answers[1].json()["state"]
    counts = answers[1].json()["counts"]
    assert sum(counts.values()) == 2 * counts["total"] and counts["running"] == counts["pending"] == 0
    return state


def test_cancel_races_completion(cluster: Cluster) -> None:
    with cluster.stack.client(timeout=60) as client, ThreadPoolExecutor(4) as racers:
        ends = Counter(racers.map(lambda _: race(cluster, client), range(RACES)))
    print(dict(ends))
    assert set(ends) == {"succeeded", "cancelled"}, "the race was not run"
    assert min(ends.values()) > RACES // 50, "one side always wins"


def test_many_cancel_while_workers_write(cluster: Cluster) -> None:
    job = cluster.submit(400, size=16)
    cluster.wait_leased(job)
    codes: list[int] = []

    def cancel() -> None:
        with cluster.stack.client() as client:
            codes.append(client.post(f"/v1/jobs/{show_job_id(job)}:cancel").status_code)

    threads = [threading.Thread(target=cancel) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert codes == [200] * 8 and cluster.state(job) == "cancelled"
    written = cluster.results(job)
    time.sleep(1)
    assert cluster.results(job) == written, "a result was written after the end"


def test_a_deadline_expires_the_job(cluster: Cluster) -> None:
    job = cluster.submit(3000, size=16, deadline=datetime.now(UTC) + timedelta(seconds=3))
    cluster.wait_done(job, 8)
    assert cluster.state(job) == "expired"
    with cluster.stack.client() as client:
        counts = client.get(f"/v1/jobs/{show_job_id(job)}").json()["counts"]
    assert counts["succeeded"] > 0 and counts["succeeded"] + counts["expired"] == counts["total"] == 3000


def test_too_many_failures_fail_the_job(cluster: Cluster) -> None:
    images = [f"s3://{cluster.stack.bucket}/absent/{i}.jpg" if i % 2 else cluster.images(1)[0] for i in range(2000)]
    job = cluster.submit(images, size=16, max_failure_ratio=0.05)
    cluster.wait_done(job, 30)
    assert cluster.state(job) == "failed" and cluster.results(job) < 2000
    assert cluster.ask("SELECT error_reason FROM jobs WHERE id = :job", job=job) == "FAILURE_RATIO_EXCEEDED"
