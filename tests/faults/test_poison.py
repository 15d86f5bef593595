"""Images that crash workers: the image fails after three crashes alone, and its neighbours succeed."""

import pytest

from tests.faults.cluster import Cluster, until
from tests.faults.oracle import outcome

pytestmark = pytest.mark.faults
ENV = {"MASKWORKS_MAX_RSS_BYTES": str(450 * 2**20)}


def job_around(cluster: Cluster, *poisons: bytes, beside: int = 7) -> tuple[dict[str, int], float]:
    images = cluster.images(beside)
    for place, poison in enumerate(poisons):
        images.insert(2 * place + 1, cluster.poisoned(poison))
    job = cluster.submit(images, size=len(images))
    took = cluster.wait_done(job, 150)
    return outcome(cluster, job), took


@pytest.mark.parametrize("poison", [b"dec", b"mod", b"los"])
def test_it_ends_the_process(cluster: Cluster, poison: bytes) -> None:
    before = cluster.deaths_by(poison)
    found, _ = job_around(cluster, poison)
    assert found == {"ok": 7, "WORKER_LOST": 1}
    assert cluster.deaths_by(poison) - before == 4  # once beside others, three times alone: the budget


def test_it_hangs(cluster: Cluster) -> None:
    found, _ = job_around(cluster, b"han")
    assert found == {"ok": 7, "WORKER_LOST": 1}
    assert cluster.deaths_by(b"han") == 4  # the watchdog ended each


def test_two_in_one_chunk(cluster: Cluster) -> None:
    found, _ = job_around(cluster, b"mod", b"dec", beside=6)
    assert found == {"ok": 6, "WORKER_LOST": 2}


@pytest.mark.parametrize(
    ("poison", "expected"),
    [(b"mem", {"ok": 7, "OUT_OF_MEMORY": 1}), (b"big", {"ok": 7, "GPU_OUT_OF_MEMORY": 1}), (b"oom", {"ok": 8})],
)
def test_it_does_not_fit(cluster: Cluster, poison: bytes, expected: dict[str, int]) -> None:
    pids = [cluster.stack.supervisor.pid(name) for name in cluster.workers()]
    found, _ = job_around(cluster, poison)
    assert found == expected
    assert pids == [cluster.stack.supervisor.pid(name) for name in cluster.workers()]


def test_it_leaks_and_the_worker_is_recycled(cluster: Cluster) -> None:
    pids = [cluster.stack.supervisor.pid(name) for name in cluster.workers()]
    found, _ = job_around(cluster, b"lea", beside=40)
    assert found == {"ok": 41}
    until("a new process", 20, lambda: pids != [cluster.stack.supervisor.pid(name) for name in cluster.workers()])
