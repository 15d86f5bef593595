"""One stack for each module. The oracle checks it after each test.

cluster   module    `tests.faults.cluster.Cluster` with two workers; a module's ENV adds settings
proxy     module    the S3 proxy that the stack of a module with `PROXIED = True` reads through
"""

from collections.abc import Iterator

import pytest

from tests.faults import oracle
from tests.faults.cluster import Cluster
from tests.faults.cluster import cluster as run_cluster
from tests.faults.proxies import S3Proxy, s3_proxy


@pytest.fixture(scope="module")
def proxy() -> Iterator[S3Proxy]:
    with s3_proxy() as running:
        yield running


@pytest.fixture(scope="module")
def cluster(request: pytest.FixtureRequest) -> Iterator[Cluster]:
    env = dict(getattr(request.module, "ENV", {}))
    proxied: S3Proxy | None = None
    if getattr(request.module, "PROXIED", False):
        proxied = request.getfixturevalue("proxy")
        env["MASKWORKS_S3_ENDPOINT_URL"] = proxied.url
    with run_cluster(workers=2, env=env) as running:
        if proxied is not None:
            proxied.target = running.stack.stores.s3.endpoint_url
        yield running


@pytest.fixture(autouse=True)
def _checked(cluster: Cluster) -> Iterator[None]:
    """Whatever a test does, afterwards everything has drained and every invariant holds."""
    yield
    oracle.check(cluster)
    cluster.drop_extras()
