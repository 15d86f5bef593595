"""One stack a module, hurt by each of its tests, checked by the oracle after each of them.

cluster   module    `tests.faults.cluster.Cluster` with two workers
"""

from collections.abc import Iterator

import pytest

from tests.faults import oracle
from tests.faults.cluster import Cluster
from tests.faults.cluster import cluster as run_cluster


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with run_cluster(workers=2) as running:
        yield running


@pytest.fixture(autouse=True)
def _checked(cluster: Cluster) -> Iterator[None]:
    """Whatever a test does, afterwards everything has drained and every invariant holds."""
    yield
    oracle.check(cluster)
    cluster.drop_extras()
