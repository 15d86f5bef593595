"""A tenant's own list of places holds for everything that a submit names."""

import json
from typing import Any

import pytest

from db.statements.tenants import change_tenant
from tests.api.conftest import Service, serving, settings

pytestmark = pytest.mark.anyio
AUTO = {"type": "auto"}
GOOD = "s3://bucket/photos/a.jpg"


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"input": {"items": [{"image": GOOD}, {"image": "s3://bucket/b.jpg"}]}}, "/input/items/1/image"),
        ({"input": {"prefix": "s3://bucket/pho"}}, "/input/prefix"),
        ({"input": {"manifest": "s3://other/photos/m.jsonl"}}, "/input/manifest"),
        (
            {"input": {"items": [{"image": GOOD}]}, "output": {"uri": "s3://bucket/out/", "formats": ["coco"]}},
            "/output/uri",
        ),
    ],
)
async def test_a_place_that_is_not_in_the_list(service: Service, body: dict[str, Any], pointer: str) -> None:
    with service.engine.begin() as connection:
        connection.execute(*change_tenant(service.tenant, {"places": ["s3://bucket/photos/"]}))
    configured = settings(service.database, output_buckets=("bucket",))
    async with serving(configured, service.key) as client:
        refused = await client.post("/v1/jobs", json={"task": AUTO, **body})
        taken = await client.post("/v1/jobs", json={"task": AUTO, "input": {"items": [{"image": GOOD}]}})
    answer = refused.json()
    assert (refused.status_code, answer["reason"]) == (422, "BUCKET_NOT_ALLOWED"), answer
    assert [error["pointer"] for error in answer["errors"]] == [pointer]
    assert taken.status_code == 202


async def test_each_line_is_asked_for_its_place(service: Service) -> None:
    with service.engine.begin() as connection:
        connection.execute(*change_tenant(service.tenant, {"places": ["s3://bucket/photos/"]}))
    for image, status in ((GOOD, 202), ("s3://bucket/photos2/b.jpg", 422)):
        lines = "\n".join(json.dumps(line) for line in ({"task": AUTO}, {"image": GOOD}, {"image": image}))
        answer = await service.client.post("/v1/jobs", content=lines, headers={"Content-Type": "application/x-ndjson"})
        assert answer.status_code == status, answer.text
    assert answer.json()["reason"] == "BUCKET_NOT_ALLOWED"


async def test_an_output_may_go_to_the_place_itself(service: Service) -> None:
    """Also where it is named without the slash at its end."""
    with service.engine.begin() as connection:
        connection.execute(*change_tenant(service.tenant, {"places": ["s3://bucket/photos/"]}))
    given = {"task": AUTO, "input": {"items": [{"image": GOOD}]}}
    async with serving(settings(service.database, output_buckets=("bucket",)), service.key) as client:
        for uri, status in (("s3://bucket/photos", 202), ("s3://bucket/pho", 422), ("s3://bucket/photos2/", 422)):
            answer = await client.post("/v1/jobs", json={**given, "output": {"uri": uri, "formats": ["coco"]}})
            assert answer.status_code == status, (uri, answer.text)
