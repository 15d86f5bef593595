"""`output` of a job: what is accepted, what is refused, and what the job says of it."""

import hashlib
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from sqlalchemy import Engine, text

from db.ids import read_job_id
from db.statements import output as sql
from db.statements.output import Shard
from db.states import ItemReason, OutputReason
from exports.table import FORMATS
from tests.api.conftest import Service, body, failure_row, new_tenant, result_row, serving, settings, some_masks

pytestmark = pytest.mark.anyio
OUT = {"uri": "s3://bucket/out/", "formats": ["coco"]}
KEYS = {"s3_endpoint_url": "http://s3:9000", "s3_access_key": "who", "s3_secret_key": "secret", "link_seconds": 60}


@pytest.fixture
async def writing(module_database: str, engine: Engine, anyio_backend: str) -> AsyncIterator[Service]:  # noqa: ARG001
    """A service that may write into one bucket, and signs links."""
    tenant, key = new_tenant(engine)
    async with serving(settings(module_database, output_buckets=("bucket", "my.other-1"), **KEYS), key) as client:
        yield Service(client, engine, tenant, key, module_database)


def with_output(**changes: Any) -> dict[str, Any]:
    return {**body(1), "output": {**OUT, **changes}}


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("s3://bucket/out/", "s3://bucket/out/"),
        ("s3://bucket/out", "s3://bucket/out/"),
        ("s3://bucket", "s3://bucket/"),
        ("s3://bucket/", "s3://bucket/"),
        ("s3://my.other-1/ä ö/%2e%2e/", "s3://my.other-1/ä ö/%2e%2e/"),
        ("s3://bucket/" + "a" * 799, "s3://bucket/" + "a" * 799 + "/"),
    ],
)
async def test_an_output_is_kept_and_shown(writing: Service, given: str, kept: str) -> None:
    job = await writing.submit(1, output={"uri": given, "formats": ["coco", "jsonl"]})
    shown = {"uri": kept, "formats": ["coco", "jsonl"], "state": "pending", "manifest": None, "error": None}
    assert job["output"] == {**shown, "links": None, "links_expire_time": None}
    assert (await writing.job(job["id"]))["output"] == job["output"]
    assert (await writing.submit(1))["output"] is None


@pytest.mark.parametrize(
    "uri",
    [
        "", "out/", "https://bucket/out/", "S3://bucket/out/", "s3:///out/", "s3://Bucket/out/", "s3://bu..cket/out/",
        "s3://bucket/../other/", "s3://bucket/out/..", "s3://bucket/out/../../other/", "s3://bucket/./out/",
        "s3://bucket//out/", "s3://bucket/out//", "s3://bucket/a\n/", "s3://bucket/a\0/", "s3://user:pw@bucket/out/",
        "s3://bucket:80/out/", "s3://bucket/" + "a" * 800, None, 7, ["s3://bucket/out/"],
    ],
)  # fmt: skip
async def test_a_place_that_is_none_is_refused(writing: Service, uri: Any) -> None:
    answer = await writing.client.post("/v1/jobs", json=with_output(uri=uri))
    assert answer.status_code == 422, uri
    assert [e["pointer"] for e in answer.json()["errors"]] == ["/output/uri"]


@pytest.mark.parametrize(
    ("formats", "pointer"),
    [
        ([], "/output/formats"),
        (["coco", "coco"], "/output/formats"),
        ("coco", "/output/formats"),
        (None, "/output/formats"),
        (["pdf"], "/output/formats/0"),
        (["coco", "../coco"], "/output/formats/1"),
        (["coco", 1], "/output/formats/1"),
    ],
)
async def test_formats_that_are_none_are_refused(writing: Service, formats: Any, pointer: str) -> None:
    answer = await writing.client.post("/v1/jobs", json=with_output(formats=formats))
    assert answer.status_code == 422, formats
    assert [e["pointer"] for e in answer.json()["errors"]] == [pointer]
    assert answer.json()["reason"] == "INVALID_REQUEST"


async def test_every_format_may_be_asked_for(writing: Service) -> None:
    assert (await writing.submit(1, output={**OUT, "formats": list(FORMATS)}))["output"]["formats"] == list(FORMATS)


@pytest.mark.parametrize("validate_only", [False, True])
async def test_a_bucket_that_may_not_be_written_is_refused(writing: Service, validate_only: bool) -> None:
    given = {**with_output(uri="s3://images/out/"), "validate_only": validate_only}
    answer = await writing.client.post("/v1/jobs", json=given)
    errors = answer.json()["errors"]
    assert [e["pointer"] for e in errors] == ["/output/uri"] and "MASKWORKS_OUTPUT_BUCKETS" in errors[0]["detail"]
    assert validate_only or (answer.status_code, answer.json()["reason"]) == (422, "BUCKET_NOT_ALLOWED")


async def test_without_a_list_nothing_may_be_written(service: Service) -> None:
    """Another list says what may be read."""
    async with serving(settings(service.database, buckets=("bucket",)), service.key) as client:
        answer = await client.post("/v1/jobs", json=with_output())
    assert (answer.status_code, answer.json()["reason"]) == (422, "BUCKET_NOT_ALLOWED")


async def test_the_etag_changes_with_the_output(writing: Service) -> None:
    job = await writing.submit(1, output=OUT)
    _end(writing, job["id"])
    before = await writing.client.get(f"/v1/jobs/{job['id']}")
    fence = _claim(writing, job["id"])
    assert (await writing.client.get(f"/v1/jobs/{job['id']}")).json()["output"]["state"] == "writing"
    _run(writing, sql.fail(_id(job["id"]), fence, reason=OutputReason.ACCESS_DENIED, detail="s3://bucket/out/: no"))
    headers = {"If-None-Match": before.headers["etag"]}
    after = await writing.client.get(f"/v1/jobs/{job['id']}", params={"wait": 30}, headers=headers)
    assert after.status_code == 200
    assert after.json()["output"]["state"] == "failed"
    assert after.json()["output"]["error"] == {"reason": "ACCESS_DENIED", "detail": "s3://bucket/out/: no"}


async def test_a_complete_output_has_signed_links(writing: Service) -> None:
    job = await writing.submit(1, output=OUT)
    _complete(writing, job["id"])
    output = (await writing.job(job["id"]))["output"]
    folder = f"bucket/out/{job['id']}/"
    assert (output["state"], output["manifest"]) == ("complete", f"s3://{folder}manifest.json")
    urls = [urlsplit(link["url"]) for link in output["links"]]
    assert [url.path for url in urls] == [f"/{folder}manifest.json", f"/{folder}coco/00000-1.coco.json"]
    assert all(url.netloc == "s3:9000" and parse_qs(url.query)["X-Amz-Expires"] == ["60"] for url in urls)
    assert "secret" not in str(output) and output["links_expire_time"] > job["create_time"]
    (listed,) = (await writing.client.get("/v1/jobs")).json()["jobs"]
    assert listed["output"]["links"] is None  # a list of jobs is no list of keys


async def test_a_retry_has_an_output_of_its_own(writing: Service) -> None:
    job = await writing.submit(2, output=OUT)
    writing.work(job["id"], lambda i: failure_row(ItemReason.TIMEOUT) if i else result_row(some_masks(1)), 2)
    new = (await writing.client.post(f"/v1/jobs/{job['id']}:retry")).json()
    assert (new["output"]["uri"], new["output"]["state"]) == (OUT["uri"], "pending")


async def test_an_api_without_keys_gives_no_links(service: Service, writing: Service) -> None:
    job = await writing.submit(1, output=OUT)
    _complete(writing, job["id"])
    async with serving(settings(service.database), writing.key) as client:
        output = (await client.get(f"/v1/jobs/{job['id']}")).json()["output"]
    assert (output["state"], output["links"]) == ("complete", None)


async def test_another_tenant_sees_no_output(service: Service, writing: Service) -> None:
    job = await writing.submit(1, output=OUT)
    assert (await service.client.get(f"/v1/jobs/{job['id']}")).status_code == 404


def _id(job_id: str) -> Any:
    return read_job_id(job_id)


def _run(service: Service, statement: Any) -> Any:
    with service.engine.begin() as connection:
        return connection.execute(*statement).one()


def _end(service: Service, job_id: str) -> None:
    with service.engine.begin() as connection:
        connection.execute(
            text("UPDATE jobs SET state = 'cancelled', ended_at = now() WHERE id = :id"), {"id": _id(job_id)}
        )


def _claim(service: Service, job_id: str) -> int:
    fence: int = _run(service, sql.claim(_id(job_id), "a writer", lease_seconds=30)).fence
    return fence


def _complete(service: Service, job_id: str) -> None:
    _end(service, job_id)
    fence = _claim(service, job_id)
    shard = Shard("coco", 0, 0, 1, "coco/00000-1.coco.json", 3, hashlib.sha256(b"abc").digest())
    _run(service, sql.add_shard(_id(job_id), fence, shard, lease_seconds=30))
    _run(service, sql.complete(_id(job_id), fence))
