"""Overlays and previews of items that a worker segmented, on real stores. The null model's masks serve as well."""

import io
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from uuid import UUID

import httpx
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from sqlalchemy import Engine, update

from api.items.preview_cache import PreviewCache
from api.tenant import Tenant
from db.ids import read_job_id
from db.states import ItemReason
from db.tables import results, tenants
from deploy.local.stores import Stores
from model.masks.rle import decode
from tests.api.conftest import Service, failure_row, new_tenant, serving, settings
from tests.conftest import Bucket
from tests.jobs import picture
from workers.settings import Settings
from workers.worker import Worker

pytestmark = pytest.mark.anyio
MOST_PIXELS = 40 * 60


@dataclass(frozen=True)
class Segmented:
    """A job over one image."""

    service: Service
    bucket: Bucket
    key: str
    job: str

    async def overlay(self, client: httpx.AsyncClient | None = None) -> httpx.Response:
        return await (client or self.service.client).get(f"/v1/jobs/{self.job}/items/0/overlay.png")

    async def refusal(self) -> tuple[int, str]:
        answer = await self.overlay()
        return answer.status_code, answer.json()["reason"]

    def put(self, content: bytes) -> None:
        self.bucket.put(self.key, content)


def store(stores: Stores, bucket: Bucket) -> dict[str, object]:
    """The API's settings of S3."""
    environment = stores.environment()
    names = ("S3_ENDPOINT_URL", "S3_ACCESS_KEY", "S3_SECRET_KEY", "S3_REGION")
    given = {name.lower(): environment[f"MASKWORKS_{name}"] for name in names if f"MASKWORKS_{name}" in environment}
    return {**given, "buckets": (bucket.name,)}


@pytest.fixture
async def on_s3(
    stores: Stores,
    bucket: Bucket,
    module_database: str,
    engine: Engine,
    anyio_backend: str,  # noqa: ARG001
) -> AsyncIterator[Service]:
    tenant, key = new_tenant(engine)
    changes = {**store(stores, bucket), "max_overlay_pixels": MOST_PIXELS}
    async with serving(settings(module_database, **changes), key) as client:
        yield Service(client, engine, tenant, key, module_database)


@pytest.fixture
def work_off(
    settings_env: dict[str, str], module_database: str, monkeypatch: pytest.MonkeyPatch
) -> Callable[[str], None]:
    for name, value in settings_env.items():
        monkeypatch.setenv(name, value)
    worker = Worker(Settings(database_url=module_database))

    def work(job: str) -> None:
        worker.start()
        worker.segment_chunk(job_uuid(job), 0)
        worker.stop()

    return work


def job_uuid(job: str) -> UUID:
    found = read_job_id(job)
    assert found is not None
    return found


@pytest.fixture
async def segmented(on_s3: Service, bucket: Bucket, work_off: Callable[[str], None]) -> Segmented:
    image = bucket.put("a.png", picture(24, 40, kind="PNG"))
    job = (await on_s3.submit(1, model="null", input={"items": [{"image": image}]}))["id"]
    work_off(job)
    assert (await on_s3.job(job))["state"] == "succeeded"
    return Segmented(on_s3, bucket, "a.png", job)


def pixels(content: bytes) -> NDArray[np.uint8]:
    return np.asarray(Image.open(io.BytesIO(content)))


def bomb() -> bytes:
    """400 million pixels."""
    out = io.BytesIO()
    Image.new("1", (20_000, 20_000)).save(out, format="PNG")
    return out.getvalue()


async def test_it_is_the_image_with_its_masks(segmented: Segmented) -> None:
    answer = await segmented.overlay()
    assert (answer.status_code, answer.headers["content-type"]) == (200, "image/png"), answer.text
    drawn, image = pixels(answer.content), pixels(picture(24, 40, kind="PNG"))
    found = (await segmented.service.client.get(f"/v1/jobs/{segmented.job}/items/0/masks")).json()["masks"]
    covered = np.any([decode(mask["segmentation"]) for mask in found], axis=0)
    assert 0 < covered.sum() < covered.size
    assert (drawn[~covered] == image[~covered]).all()
    assert (drawn[covered] != image[covered]).any(axis=1).mean() > 0.9


async def test_another_image_in_its_place_reaches_no_decoder(segmented: Segmented) -> None:
    for content in (picture(24, 40, seed=1, kind="PNG"), bomb(), b"<svg/>"):
        segmented.put(content)
        assert await segmented.refusal() == (409, "IMAGE_CHANGED")
    segmented.bucket.client.delete_object(Bucket=segmented.bucket.name, Key=segmented.key)
    assert await segmented.refusal() == (404, "OBJECT_NOT_FOUND")
    segmented.put(picture(24, 40, kind="PNG"))
    assert (await segmented.overlay()).status_code == 200


async def test_a_result_without_a_fingerprint_knows_its_size_alone(segmented: Segmented) -> None:
    with segmented.service.engine.begin() as connection:
        of_job = results.c.job_id == job_uuid(segmented.job)
        connection.execute(update(results).where(of_job).values(fingerprint=None))
    segmented.put(picture(24, 40, seed=1, kind="PNG"))
    assert (await segmented.overlay()).status_code == 200
    for content in (picture(24, 39, kind="PNG"), bomb(), b"<svg/>"):
        segmented.put(content)
        assert await segmented.refusal() == (409, "IMAGE_CHANGED")


async def test_a_place_that_the_tenant_lost(segmented: Segmented) -> None:
    engine, tenant = segmented.service.engine, segmented.service.tenant
    preview = f"/v1/jobs/{segmented.job}/items/0/preview.jpg"
    assert (await segmented.service.client.get(preview)).status_code == 200
    with engine.begin() as connection:
        places = [f"s3://{segmented.bucket.name}/elsewhere/"]
        connection.execute(update(tenants).where(tenants.c.id == tenant).values(places=places))
    async with serving(segmented.service.client.app.state.settings, segmented.service.key) as client:
        for answer in (await segmented.overlay(client), await client.get(preview)):
            assert (answer.status_code, answer.json()["reason"]) == (403, "ACCESS_DENIED")


async def test_items_without_an_overlay(on_s3: Service, bucket: Bucket) -> None:
    place = f"s3://{bucket.name}"
    job = (await on_s3.submit(3, input={"items": [{"image": f"{place}/{i}.jpg"} for i in range(3)]}))["id"]
    assert (await on_s3.client.get(f"/v1/jobs/{job}/items/0/overlay.png")).json()["reason"] == "ITEM_NOT_SUCCEEDED"
    on_s3.work(job, lambda _: failure_row(ItemReason.TIMEOUT), 3)
    answer = await on_s3.client.get(f"/v1/jobs/{job}/items/1/overlay.png")
    assert (answer.status_code, answer.json()["reason"]) == (409, "ITEM_NOT_SUCCEEDED")
    assert (await on_s3.client.get(f"/v1/jobs/{job}/items/3/overlay.png")).status_code == 404


async def test_large_images_and_many_overlays_are_refused(segmented: Segmented) -> None:
    state = segmented.service.client.app.state
    of_job = results.c.job_id == job_uuid(segmented.job)
    for width, expected in ((61, (422, "IMAGE_TOO_LARGE")), (60, (409, "IMAGE_CHANGED"))):
        with segmented.service.engine.begin() as connection:
            connection.execute(update(results).where(of_job).values(height=40, width=width))
        assert await segmented.refusal() == expected
    tenant = Tenant(segmented.service.tenant)
    for _ in range(state.settings.overlays_per_tenant):
        state.overlay_slots.take(tenant)
    assert await segmented.refusal() == (429, "TOO_MANY_OVERLAYS")


async def test_a_preview_is_small_and_drawn_once(segmented: Segmented) -> None:
    client, path = segmented.service.client, f"/v1/jobs/{segmented.job}/items/0/preview.jpg"
    drawn = await client.get(path, params={"side": 32})
    assert (drawn.status_code, drawn.headers["content-type"]) == (200, "image/jpeg"), drawn.text
    assert pixels(drawn.content).shape == (19, 32, 3)  # of 24 × 40
    bare = await client.get(path, params={"side": 2048, "masks": "false"})
    image = pixels(picture(24, 40, kind="PNG"))
    assert pixels(bare.content).shape == image.shape  # never enlarged
    for known in (drawn.headers["etag"], f'"x", W/{drawn.headers["etag"]}'):
        again = await client.get(path, params={"side": 32}, headers={"If-None-Match": known})
        assert (again.status_code, again.content) == (304, b"")
    segmented.put(picture(24, 40, seed=1, kind="PNG"))
    assert (await client.get(path, params={"side": 32})).content == drawn.content
    fresh = await client.get(path, params={"side": 33})
    assert (fresh.status_code, fresh.json()["reason"]) == (409, "IMAGE_CHANGED")


async def test_many_previews_are_refused(segmented: Segmented) -> None:
    state, path = segmented.service.client.app.state, f"/v1/jobs/{segmented.job}/items/0/preview.jpg"
    for _ in range(state.settings.previews_per_tenant):
        state.preview_slots.take(Tenant(segmented.service.tenant))
    answer = await segmented.service.client.get(path)
    assert (answer.status_code, answer.json()["reason"]) == (429, "TOO_MANY_PREVIEWS")


def test_the_cache_of_previews_keeps_the_latest_within_its_bytes() -> None:
    cache = PreviewCache(10)
    for name in ("a", "b"):
        cache.put(name, b"12345")
    assert cache.get("a") is not None  # used last
    cache.put("c", b"123")
    assert [cache.get(name) for name in ("a", "b", "c")] == [b"12345", None, b"123"]
    cache.put("large", b"12345678901")
    assert cache.get("large") is None and cache.get("a") is not None
