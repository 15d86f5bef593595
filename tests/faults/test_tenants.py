"""A tenant of a few images beside one of very many, on one worker: its small jobs do not wait."""

import statistics
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from uuid import UUID

import pytest
from sqlalchemy import insert

from db.ids import show_job_id
from db.tables import tenants
from tests.faults.cluster import Cluster, until

pytestmark = pytest.mark.faults
ENV = {"MASKWORKS_NULL_DELAY": "0.1"}
"""An image takes a tenth of a second, so that who waits for whom is decided by turns, not by this machine."""
SMALL, LARGE = 20, 20_000


@pytest.fixture
def one_worker(cluster: Cluster) -> Iterator[None]:
    cluster.stack.stop_child("worker-2")
    yield
    cluster.stack.start_child("worker-2")


@pytest.fixture
def small(cluster: Cluster) -> str:
    with cluster.engine.begin() as connection:
        connection.execute(insert(tenants).values(id="small"))
    return "small"


@pytest.fixture
def large(cluster: Cluster) -> Iterator[Callable[[], None]]:
    """Starts the large tenant's job, which is cancelled after the test."""
    jobs: list[UUID] = []
    yield lambda: jobs.append(cluster.submit(LARGE, size=16))
    with cluster.stack.client() as client:
        for job in jobs:
            assert client.post(f"/v1/jobs/{show_job_id(job)}:cancel").status_code == 200


@dataclass(frozen=True)
class Took:
    """What a small job took: seconds, and images that were done for anybody meanwhile."""

    seconds: float
    images: int


def took(cluster: Cluster, tenant: str, count: int) -> list[Took]:
    """So many small jobs, one after the other."""
    found = []
    for _ in range(count):
        before = done(cluster)
        seconds = cluster.wait_done(cluster.submit(SMALL, size=1, tenant_id=tenant))
        found.append(Took(seconds, done(cluster) - before))
    return found


@pytest.mark.usefixtures("one_worker")
def test_a_small_job_beside_a_large_one(cluster: Cluster, small: str, large: Callable[[], None]) -> None:
    """Counted in images, the unit in which a fair worker shares its time: seconds on a busy machine count what others
    do too (`python -m bench.protocol fairness` has those)."""
    alone = statistics.median(each.seconds for each in took(cluster, small, 3))
    large()
    until("the large job has every slot", 20, lambda: in_work(cluster) == 2)
    beside = took(cluster, small, 10)
    seconds, images = statistics.median(each.seconds for each in beside), sorted(each.images for each in beside)
    print(f"{SMALL} images alone {alone:.2f} s, beside {LARGE} others {seconds:.2f} s; images meanwhile: {images}")
    assert images[-2] <= 3 * SMALL and images[-1] <= 6 * SMALL


def done(cluster: Cluster) -> int:
    return int(cluster.ask("SELECT count(*) FROM results"))


def in_work(cluster: Cluster) -> int:
    return int(cluster.ask("SELECT count(*) FROM chunks WHERE state = 'leased'"))
