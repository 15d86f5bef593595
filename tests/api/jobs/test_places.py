"""A tenant's own list of places holds for everything that a submit names."""

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
