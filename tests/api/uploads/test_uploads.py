"""Uploads into the tenant's folder, on a real store."""

import asyncio
import gzip
import hashlib
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from pydantic import ValidationError
from sqlalchemy import Engine, text

from api.refusals import InvalidParameter
from api.uploads.folder import check_name
from db.api_key import new_key
from db.statements.keys import insert_key
from deploy.local.stores import Stores
from tests.api.conftest import PEPPER, Service, new_tenant, serving, settings
from tests.conftest import Bucket
from tests.jobs import picture

pytestmark = pytest.mark.anyio
MOST = 20_000
PNG = picture(24, 40, kind="PNG")


@pytest.fixture
def changes(stores: Stores, bucket: Bucket) -> dict[str, Any]:
    environment = stores.environment()
    names = ("S3_ENDPOINT_URL", "S3_ACCESS_KEY", "S3_SECRET_KEY", "S3_REGION")
    access = {name.lower(): environment[f"MASKWORKS_{name}"] for name in names if f"MASKWORKS_{name}" in environment}
    place = {"buckets": (bucket.name,), "upload_prefix": f"s3://{bucket.name}/up"}
    return {**access, **place, "max_image_bytes": MOST, "uploads_per_tenant": 2}


@pytest.fixture
async def uploads(
    changes: dict[str, Any],
    module_database: str,
    engine: Engine,
    anyio_backend: str,  # noqa: ARG001
) -> AsyncIterator[Service]:
    tenant, key = new_tenant(engine)
    async with serving(settings(module_database, **changes), key) as client:
        yield Service(client, engine, tenant, key, module_database)


def refused(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["reason"]


def keys(bucket: Bucket) -> list[str]:
    return [found["Key"] for found in bucket.client.list_objects_v2(Bucket=bucket.name).get("Contents", [])]


async def test_an_image_is_stored_in_the_tenants_folder_and_a_job_may_name_it(uploads: Service, bucket: Bucket) -> None:
    folder = f"s3://{bucket.name}/up/{uploads.tenant}/"
    told = (await uploads.client.get("/v1/uploads")).json()
    assert told == {"enabled": True, "folder": folder, "max_bytes": MOST}
    for name in ("cat.png", "my cät (1).png", "a:b~%41.png"):
        answer = await uploads.client.put(f"/v1/uploads/{quote(name)}", content=PNG)
        digest = hashlib.sha256(PNG).hexdigest()
        image = f"{folder}{digest[:32]}/{name}"
        assert answer.status_code == 201
        assert answer.json() == {"image": image, "size": len(PNG), "sha256": digest, "format": "PNG"}
        stored = bucket.client.get_object(Bucket=bucket.name, Key=image.split("/", 3)[3])
        assert stored["Body"].read() == PNG
        await uploads.submit(1, input={"items": [{"image": image}]})
    packed = await uploads.client.put(
        "/v1/uploads/cat.png", content=gzip.compress(PNG), headers={"Content-Encoding": "gzip"}
    )
    assert packed.status_code == 201 and packed.json()["sha256"] == digest
    assert len(keys(bucket)) == 3


async def test_other_content_overwrites_nothing(uploads: Service, bucket: Bucket) -> None:
    for seed in (1, 2, 2):
        await uploads.client.put("/v1/uploads/a.png", content=picture(kind="PNG", seed=seed))
    assert len(keys(bucket)) == 2


@pytest.mark.parametrize(
    ("body", "status", "reason"),
    [
        (b"", 422, "INVALID_REQUEST"),
        (b"<html><script>alert(1)</script></html>", 422, "UNSUPPORTED_FORMAT"),
        (b"%PDF-1.7", 422, "UNSUPPORTED_FORMAT"),
        (b"\x1f\x8b" + bytes(300), 422, "UNSUPPORTED_FORMAT"),
        (PNG + bytes(MOST), 413, "BODY_TOO_LARGE"),
    ],
)
async def test_what_is_refused_is_not_stored(
    uploads: Service, bucket: Bucket, body: bytes, status: int, reason: str
) -> None:
    assert refused(await uploads.client.put("/v1/uploads/a.png", content=body)) == (status, reason)
    assert keys(bucket) == []


async def test_a_bomb_is_no_larger_than_a_body_may_be(uploads: Service) -> None:
    packed = gzip.compress(PNG + bytes(10_000_000))
    assert len(packed) < MOST
    answer = await uploads.client.put("/v1/uploads/a.png", content=packed, headers={"Content-Encoding": "gzip"})
    assert refused(answer) == (413, "BODY_TOO_LARGE")


async def test_nothing_is_read_of_a_body_that_says_to_be_too_large_or_is_no_image(uploads: Service) -> None:
    read = 0

    async def endless(first: bytes) -> AsyncIterator[bytes]:
        nonlocal read
        yield first
        while read < 100:
            read += 1
            yield bytes(100)

    large = {"Content-Length": str(MOST + 1)}
    answer = await uploads.client.put("/v1/uploads/a.png", content=endless(PNG), headers=large)
    assert refused(answer) == (413, "BODY_TOO_LARGE")
    before = read
    answer = await uploads.client.put("/v1/uploads/a.png", content=endless(b"<html>"))
    assert refused(answer) == (422, "UNSUPPORTED_FORMAT") and read - before < 100


@pytest.mark.parametrize("name", ["..", ".", "a\n.png", "a\x00", "ä" * 600, "a?versionId=1", "\u2028.png", "a#page=2"])
def test_names_that_no_object_may_have(name: str) -> None:
    with pytest.raises(InvalidParameter):
        check_name("s3://bucket/up/tenant/", name)


@pytest.mark.parametrize("name", ["a%0A.png", "a%00", "x" * 256, "a%3FversionId=1"])
async def test_names_that_are_refused(uploads: Service, bucket: Bucket, name: str) -> None:
    answer = await uploads.client.put(f"/v1/uploads/{name}", content=PNG)
    assert refused(answer) == (422, "INVALID_PARAMETER") and answer.json()["errors"][0]["pointer"] == "/name"
    assert keys(bucket) == []


async def test_a_path_cannot_leave_the_folder(uploads: Service, bucket: Bucket) -> None:
    for name in ("..%2Fother%2Fa.png", "%2e%2e/other/a.png", "a/b.png", "%2Fetc%2Fpasswd"):
        answer = await uploads.client.put(f"/v1/uploads/{name}", content=PNG)
        assert answer.status_code in (404, 405), (name, answer.text)
    assert keys(bucket) == []


async def test_a_tenant_of_one_place_uploads_only_if_its_folder_is_in_it(uploads: Service, bucket: Bucket) -> None:
    own = f"s3://{bucket.name}/up/{uploads.tenant}/"
    allow = text("UPDATE tenants SET places = :places WHERE id = :tenant")
    for places, status in (([f"s3://{bucket.name}/photos/"], 403), ([own], 201)):
        tenant, key = uploads.tenant, new_key_of(uploads)
        with uploads.engine.begin() as connection:
            connection.execute(allow, {"places": places, "tenant": tenant})
        headers = {"Authorization": f"Bearer {key}"}
        answer = await uploads.client.put("/v1/uploads/a.png", content=PNG, headers=headers)
        assert answer.status_code == status, answer.text
        told = (await uploads.client.get("/v1/uploads", headers=headers)).json()
        assert told["enabled"] is (status == 201)
    other, key = new_tenant(uploads.engine)
    with uploads.engine.begin() as connection:
        connection.execute(allow, {"places": [f"s3://{bucket.name}/up/{other}/"], "tenant": other})
    theirs = {"input": {"items": [{"image": answer.json()["image"]}]}, "task": {"type": "auto"}}
    asked = await uploads.client.post("/v1/jobs", json=theirs, headers={"Authorization": f"Bearer {key}"})
    assert refused(asked) == (422, "BUCKET_NOT_ALLOWED")


def new_key_of(service: Service) -> str:
    """A key that the API has not remembered."""
    key = new_key()
    with service.engine.begin() as connection:
        connection.execute(*insert_key(key, pepper=PEPPER, name="tests", tenant=service.tenant))
    return str(key)


async def test_so_many_at_a_time(uploads: Service) -> None:
    go, begun = asyncio.Event(), asyncio.Semaphore(0)

    async def slow() -> AsyncIterator[bytes]:
        yield PNG[:300]
        begun.release()
        await go.wait()
        yield PNG[300:]

    running = [asyncio.create_task(uploads.client.put("/v1/uploads/a.png", content=slow())) for _ in range(2)]
    for _ in running:
        await begun.acquire()
    answer = await uploads.client.put("/v1/uploads/b.png", content=PNG)
    assert refused(answer) == (429, "TOO_MANY_UPLOADS") and answer.headers["retry-after"]
    go.set()
    assert [(await each).status_code for each in running] == [201, 201]
    assert (await uploads.client.put("/v1/uploads/b.png", content=PNG)).status_code == 201


async def test_without_the_setting_there_are_none(service: Service) -> None:
    assert (await service.client.get("/v1/uploads")).json()["enabled"] is False
    answer = await service.client.put("/v1/uploads/a.png", content=PNG)
    assert refused(answer) == (404, "UPLOADS_DISABLED")


async def test_a_store_that_refuses_is_told_without_its_words(
    changes: dict[str, Any], module_database: str, engine: Engine
) -> None:
    _, key = new_tenant(engine)
    wrong = settings(module_database, **changes | {"s3_secret_key": "not the secret key"})
    async with serving(wrong, key) as client:
        answer = await client.put("/v1/uploads/a.png", content=PNG)
    assert refused(answer) == (503, "STORAGE_UNAVAILABLE") and answer.headers["retry-after"]
    assert "ignature" not in answer.text and "AccessDenied" not in answer.text


def test_settings_that_cannot_work(module_database: str) -> None:
    for prefix in ("bucket/up/", "s3://bucket/../", "s3://Bucket/"):
        with pytest.raises(ValidationError):
            settings(module_database, upload_prefix=prefix)
    with pytest.raises(ValidationError, match="MASKWORKS_BUCKETS"):
        settings(module_database, upload_prefix="s3://elsewhere/", buckets=("bucket",))
    assert settings(module_database, upload_prefix="s3://bucket/up").upload_prefix == "s3://bucket/up/"
