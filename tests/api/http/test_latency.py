"""The latency of requests: by the route's template, whatever the path, the method and the error."""

import pytest
from prometheus_client import REGISTRY

from tests.api.conftest import Service

pytestmark = pytest.mark.anyio


def counted() -> dict[tuple[str, str, str], float]:
    (family,) = [each for each in REGISTRY.collect() if each.name == "maskworks_http_seconds"]
    return {
        (s.labels["method"], s.labels["route"], s.labels["status"]): s.value
        for s in family.samples
        if s.name.endswith("_count")
    }


async def test_requests_are_counted_by_template(service: Service) -> None:
    before, id_ = counted(), (await service.submit(1))["id"]
    await service.client.get(f"/v1/jobs/{id_}")
    await service.client.get(f"/v1/jobs/{id_}?wait=0")
    await service.client.head(f"/v1/jobs/{id_}/items")
    await service.client.get("/v1/jobs/job_x")
    await service.client.get("/nothing/here")
    await service.client.request("BREW", "/healthz")
    found = {each: n - before.get(each, 0) for each, n in counted().items() if n != before.get(each, 0)}
    assert found == {
        ("POST", "/v1/jobs", "202"): 1,
        ("GET", "/v1/jobs/{job_id}", "200"): 1,
        ("GET", "/v1/jobs/{job_id}?wait", "200"): 1,
        ("HEAD", "/v1/jobs/{job_id}/items", "200"): 1,
        ("GET", "/v1/jobs/{job_id}", "404"): 1,
        ("GET", "none", "404"): 1,
        ("other", "/healthz", "405"): 1,
    }
