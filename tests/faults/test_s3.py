"""S3 that refuses, fails, is slow or cuts off: permanent errors fail their item, others are tried again."""

import time
from collections.abc import Iterator

import pytest

from db.ids import show_job_id
from tests.faults.cluster import Cluster, until
from tests.faults.oracle import outcome
from tests.faults.proxies import Fault, S3Proxy

pytestmark = pytest.mark.faults
PROXIED = True


@pytest.fixture(autouse=True)
def _healed(proxy: S3Proxy) -> Iterator[None]:
    yield
    proxy.faults.clear()


def two_of_each(cluster: Cluster) -> list[str]:
    content = cluster.s3.get_object(Bucket=cluster.stack.bucket, Key="plain/0.jpg")["Body"].read()
    return [cluster.put(f"{name}/{i}.jpg", content) for name in ("good", "hurt") for i in range(2)]


@pytest.mark.parametrize(("kind", "reason"), [("403", "ACCESS_DENIED"), ("404", "OBJECT_NOT_FOUND")])
def test_refused_for_good(cluster: Cluster, proxy: S3Proxy, kind: str, reason: str) -> None:
    images = two_of_each(cluster)
    proxy.faults, proxy.hits = [Fault("/hurt/", kind)], 0
    job = cluster.submit(images, size=4)
    cluster.wait_done(job)
    assert outcome(cluster, job) == {"ok": 2, reason: 2}
    assert proxy.hits == 2  # asked once each


@pytest.mark.parametrize("kind", ["500", "503", "truncated", "reset"])
def test_passes_after_a_while(cluster: Cluster, proxy: S3Proxy, kind: str) -> None:
    images = two_of_each(cluster)
    proxy.faults, proxy.hits = [Fault("/hurt/", kind, times=4)], 0
    job = cluster.submit(images, size=4)
    cluster.wait_done(job)
    assert outcome(cluster, job) == {"ok": 4} and proxy.hits == 4


def test_never_passes(cluster: Cluster, proxy: S3Proxy) -> None:
    images = two_of_each(cluster)
    proxy.faults = [Fault("/hurt/", "500")]
    job = cluster.submit(images, size=4)
    cluster.wait_done(job, 60)
    assert outcome(cluster, job) == {"ok": 2, "STORAGE_UNAVAILABLE": 2}
    sql = "SELECT bool_and(retryable) FROM results WHERE job_id = :job AND state = 'failed'"
    assert cluster.ask(sql, job=job) is True


def test_throttled_in_the_middle(cluster: Cluster, proxy: S3Proxy) -> None:
    """For 20 s every read is told to slow down. Nothing fails, and no chunk is charged."""
    job = cluster.submit(3000, size=16)
    cluster.wait_leased(job)
    time.sleep(1)
    proxy.faults, proxy.hits = [Fault("/plain/", "503")], 0
    time.sleep(20)
    refused = proxy.hits
    proxy.faults.clear()
    cluster.wait_done(job, 240)
    assert outcome(cluster, job) == {"ok": 3000}
    assert 0 < refused < 2000  # both workers slowed down
    assert cluster.ask("SELECT max(stalls) FROM chunks WHERE job_id = :job", job=job) == 0


def test_slower_than_a_lease(cluster: Cluster, proxy: S3Proxy) -> None:
    images = two_of_each(cluster)
    proxy.faults = [Fault("/hurt/", "slow", seconds=6)]
    job = cluster.submit(images, size=4)
    cluster.wait_done(job)
    assert outcome(cluster, job) == {"ok": 4}
    assert cluster.ask("SELECT max(attempts) FROM chunks WHERE job_id = :job", job=job) == 1  # the heartbeat kept it


def test_dripping_objects_hold_up_no_other_job(cluster: Cluster, proxy: S3Proxy) -> None:
    """More than two workers have slots and fetch threads for. Cancelling their job frees what they hold."""
    content = cluster.s3.get_object(Bucket=cluster.stack.bucket, Key="plain/0.jpg")["Body"].read()
    images = [cluster.put(f"hurt/{i}.jpg", content) for i in range(24)]
    proxy.faults = [Fault("/hurt/", "drip")]
    dripping = cluster.submit(images, size=1)
    until("objects drip", 20, lambda: proxy.dripping >= 8)
    job = cluster.submit(2, size=1)
    cluster.wait_done(job, 30)
    assert outcome(cluster, job) == {"ok": 2} and not cluster.is_done(dripping)
    with cluster.stack.client() as client:
        assert client.post(f"/v1/jobs/{show_job_id(dripping)}:cancel").status_code == 200
    until("nothing drips any more", 20, lambda: proxy.dripping == 0)


def test_killed_and_restarted(cluster: Cluster) -> None:
    job = cluster.submit(200, size=5)
    cluster.wait_leased(job)
    cluster.stack.stop_child("s3", hurry=True)
    time.sleep(1.5)
    cluster.stack.start_child("s3")
    cluster.wait_done(job, 60)
    assert outcome(cluster, job) == {"ok": 200}


def test_a_slow_listing_holds_nobody_up(cluster: Cluster, proxy: S3Proxy) -> None:
    """The leader lists a prefix for 15 s; meanwhile it leads, dispatches and ends other jobs."""
    two_of_each(cluster)
    proxy.faults = [Fault("list-type=2", "slow", seconds=15)]
    body = {"model": "null", "task": {"type": "auto"}, "input": {"prefix": f"s3://{cluster.stack.bucket}/good/"}}
    with cluster.stack.client() as client:
        listed = client.post("/v1/jobs", json=body).json()["id"]
    until("the listing has begun", 10, lambda: proxy.hits)
    job = cluster.submit(20, size=4)
    assert cluster.wait_done(job, 10) < 10
    with cluster.stack.client(timeout=70) as client:
        assert client.get(f"/v1/jobs/{listed}", params={"wait": 50}).json()["state"] == "succeeded"


def test_a_listing_that_fails_is_tried_again(cluster: Cluster, proxy: S3Proxy) -> None:
    two_of_each(cluster)
    proxy.faults = [Fault("list-type=2", "503", times=3), Fault("list-type=2", "reset", times=2)]
    body = {"model": "null", "task": {"type": "auto"}, "input": {"prefix": f"s3://{cluster.stack.bucket}/good/"}}
    with cluster.stack.client(timeout=70) as client:
        job = client.post("/v1/jobs", json=body).json()["id"]
        shown = client.get(f"/v1/jobs/{job}", params={"wait": 40}).json()
    assert shown["state"] == "succeeded" and shown["counts"]["succeeded"] == 2
