"""Outputs to S3 whose writer dies, is late, or finds no S3: each item is in one file, and there is one manifest."""

import time
from collections.abc import Iterator
from uuid import UUID

import pytest

from db.ids import show_job_id
from tests.faults import outputs
from tests.faults.cluster import LEADER, Cluster, until
from tests.faults.proxies import Fault, S3Proxy

pytestmark = pytest.mark.faults
PROXIED = True
ENV = {"MASKWORKS_OUTPUT_SHARD_BYTES": "8000", "MASKWORKS_OUTPUTS_AT_ONCE": "2"}
N = 60


@pytest.fixture(autouse=True)
def _healed(proxy: S3Proxy) -> Iterator[None]:
    yield
    proxy.faults.clear()


@pytest.fixture
def job(cluster: Cluster) -> UUID:
    """A job that has ended, and no leader."""
    done = cluster.submit(N, size=10)
    cluster.wait_done(done)
    cluster.stack.stop_child("dispatcher", hurry=True)
    return done


@pytest.mark.parametrize("point", ["uploading:3", "uploaded:3", "publishing", "published"])
def test_a_writer_that_dies_at(cluster: Cluster, job: UUID, point: str) -> None:
    outputs.ask_for(cluster, job, ("jsonl", "coco"))
    with cluster.second_dispatcher(crash_at=point) as second:
        assert cluster.wait_exit(second, LEADER + 20) == -9
    before = outputs.n_shards(cluster, job)
    assert before >= 2 and outputs.state(cluster, job) == "writing"
    cluster.stack.start_child("dispatcher")
    outputs.check(cluster, job, N)
    fences = "SELECT count(*) FROM output_shards WHERE job_id = :job AND name LIKE '%-1.%'"
    assert cluster.ask(fences, job=job) == before  # the next writer went on behind them


def test_a_late_writer_changes_nothing(cluster: Cluster, proxy: S3Proxy, job: UUID) -> None:
    """Its manifest is on its way while it is frozen, and arrives when another has written the output to its end."""
    outputs.ask_for(cluster, job)
    proxy.faults, proxy.hits = [Fault("manifest.json", "slow", times=1, seconds=12)], 0
    with cluster.second_dispatcher() as second:
        until("the manifest is on its way", 30, lambda: proxy.hits)
        with cluster.frozen(second):
            cluster.stack.start_child("dispatcher")
            outputs.check(cluster, job, N, 10)
            published = outputs.manifest(cluster, job)
            time.sleep(12)  # until the late one has arrived
        assert outputs.manifest(cluster, job) == published
    outputs.check(cluster, job, N)


def test_s3_is_away_for_a_while(cluster: Cluster, job: UUID) -> None:
    cluster.stack.stop_child("s3", hurry=True)
    outputs.ask_for(cluster, job, ("jsonl", "coco"))
    cluster.stack.start_child("dispatcher")
    said = "SELECT error_reason FROM outputs WHERE job_id = :job AND state = 'pending'"
    until("it says why it waits", 40, lambda: cluster.ask(said, job=job) == "STORAGE_UNAVAILABLE")
    another = cluster.submit(4)  # nobody else is held up, though images cannot be read now
    until("its dispatch", 20, lambda: cluster.ask("SELECT sum(fence) FROM chunks WHERE job_id = :job", job=another))
    cluster.stack.start_child("s3")
    outputs.check(cluster, job, N)


def test_a_slow_place_holds_up_no_other_tenant(cluster: Cluster, proxy: S3Proxy, job: UUID) -> None:
    """One tenant has as many outputs as are written at once, all of them to a place that does not answer."""
    with cluster.engine.begin() as connection:
        connection.exec_driver_sql("INSERT INTO tenants (id) VALUES ('slow') ON CONFLICT DO NOTHING")
    cluster.stack.start_child("dispatcher")
    slow = [cluster.submit(2, tenant_id="slow") for _ in range(2)]
    for each in slow:
        cluster.wait_done(each)
    proxy.faults, proxy.hits = [Fault("/slow/", "slow", seconds=25)], 0
    for each in slow:
        outputs.ask_for(cluster, each, prefix="slow/")
    until("it does not answer", 20, lambda: proxy.hits)
    outputs.ask_for(cluster, job)
    outputs.check(cluster, job, N, 15)
    assert {outputs.state(cluster, each) for each in slow} <= {"pending", "writing"}
    proxy.faults.clear()


def test_refused_for_good(cluster: Cluster, proxy: S3Proxy, job: UUID) -> None:
    proxy.faults = [Fault("/out/", "403")]
    outputs.ask_for(cluster, job)
    cluster.stack.start_child("dispatcher")
    until("the output's end", 30, lambda: outputs.state(cluster, job) == "failed")
    with cluster.stack.client() as client:
        shown = client.get(f"/v1/jobs/{show_job_id(job)}").json()
        assert shown["state"] == "succeeded" and shown["output"]["error"]["reason"] == "ACCESS_DENIED"
        assert len(client.get(f"/v1/jobs/{show_job_id(job)}/results").text.splitlines()) == N + 1
