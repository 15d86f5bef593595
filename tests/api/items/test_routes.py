import zlib

import numpy as np
import pytest

from db.states import ItemReason
from model.masks.rle import decode
from tests.api.conftest import Service, failure_row, result_row, some_masks

pytestmark = pytest.mark.anyio


async def test_an_item_before_and_after(service: Service) -> None:
    job = await service.submit(3)
    base = f"/v1/jobs/{job['id']}/items"
    assert (await service.client.get(f"{base}/0")).json() == {
        "id": "0", "custom_id": "0", "index": 0, "image": "s3://bucket/0.jpg", "state": "pending", "attempt": 0,
        "error": None, "size": None, "orientation": None, "mask_count": None, "model": None, "model_revision": None,
        "precision": None, "timings_ms": None, "frames": None, "georeference": None,
        "warnings": [], "reused_from": None,
    }  # fmt: skip
    fence = service.claim(job["id"])
    assert (await service.client.get(f"{base}/0")).json()["state"] == "running"
    service.write(fence, {0: result_row(some_masks(3))})
    second = service.claim(job["id"], 1)
    service.write(second, {1: failure_row(ItemReason.OBJECT_NOT_FOUND)})
    assert (await service.client.get(f"{base}/0")).json() == {
        "id": "0", "custom_id": "0", "index": 0, "image": "s3://bucket/0.jpg", "state": "succeeded", "attempt": 1,
        "error": None, "size": [30, 40], "orientation": 1, "mask_count": 3, "model": "sam_tiny",
        "model_revision": "r1", "precision": "exact", "timings_ms": {"queue": 1.5, "encode": 2.0},
        "frames": None, "georeference": None,
        "warnings": [], "reused_from": None,
    }  # fmt: skip
    failed = (await service.client.get(f"{base}/1")).json()
    assert failed["state"] == "failed" and failed["mask_count"] is None
    assert failed["error"] == {"reason": "OBJECT_NOT_FOUND", "detail": "it was OBJECT_NOT_FOUND", "retryable": False}


async def test_items_come_in_pages_by_index(service: Service) -> None:
    job = await service.submit(5)
    url = f"/v1/jobs/{job['id']}/items"
    first = (await service.client.get(url, params={"page_size": 3})).json()
    second = (await service.client.get(url, params={"page_size": 3, "page_token": first["next_page_token"]})).json()
    assert [i["index"] for i in first["items"] + second["items"]] == [0, 1, 2, 3, 4]
    assert "next_page_token" not in second
    third = (await service.client.get(url, params={"page_size": 1, "start": 3})).json()
    assert [i["index"] for i in third["items"]] == [3]
    both = {"start": 3, "page_token": first["next_page_token"]}
    assert (await service.client.get(url, params=both)).json()["reason"] == "INVALID_PARAMETER"
    job_token = (await service.client.get(url, params={"page_token": "80000000"})).json()
    assert job_token["reason"] == "INVALID_PARAMETER"


@pytest.mark.parametrize("item", ["3", "x", "-1", "1.0", "99999999999", "٣", "2147483648"])
@pytest.mark.parametrize("suffix", ["", "/masks"])
async def test_an_unknown_item(service: Service, item: str, suffix: str) -> None:
    job = await service.submit(3)
    answer = await service.client.get(f"/v1/jobs/{job['id']}/items/{item}{suffix}")
    assert (answer.status_code, answer.json()["reason"]) == (404, "ITEM_NOT_FOUND")


async def test_masks_are_what_was_stored(service: Service) -> None:
    job = await service.submit(1)
    rles = some_masks(2)
    service.work(job["id"], lambda _: result_row(rles), 1)
    masks = (await service.client.get(f"/v1/jobs/{job['id']}/items/0/masks")).json()["masks"]
    assert masks[1] == {
        "id": 1, "prompt_id": None, "segmentation": rles[1], "bbox": [1, 1, 7, 5], "area": 35, "predicted_iou": 0.75,
        "stability_score": 0.5, "point_coords": [[1.5, 1.5]], "crop_box": [0, 0, 40, 30],
        "phrase": None, "score": None,
    }  # fmt: skip
    for mask, rle in zip(masks, rles, strict=True):
        assert np.array_equal(decode(mask["segmentation"]), decode(rle))


async def test_masks_of_a_prompt_name_it(service: Service) -> None:
    job = await service.submit(1)
    service.work(job["id"], lambda _: result_row(some_masks(1), prompt="cup"), 1)
    (mask,) = (await service.client.get(f"/v1/jobs/{job['id']}/items/0/masks")).json()["masks"]
    assert (mask["prompt_id"], mask["point_coords"]) == ("cup", None)


async def test_masks_come_in_pages(service: Service) -> None:
    job = await service.submit(1)
    rles = some_masks(10)
    service.work(job["id"], lambda _: result_row(rles), 1)
    url, token, seen, sizes = f"/v1/jobs/{job['id']}/items/0/masks", None, [], []
    while True:
        page = (
            await service.client.get(url, params={"page_size": 5, **({"page_token": token} if token else {})})
        ).json()
        seen += page["masks"]
        sizes.append(len(page["masks"]))
        token = page.get("next_page_token")
        if token is None:
            break
    assert sizes == [5, 5]
    assert [m["id"] for m in seen] == list(range(10))
    assert [m["segmentation"] for m in seen] == rles


async def test_masks_before_there_are_any(service: Service) -> None:
    job = await service.submit(2)
    service.write(service.claim(job["id"]), {0: failure_row(ItemReason.DECODE_FAILED)})
    for index in (0, 1):
        assert (await service.client.get(f"/v1/jobs/{job['id']}/items/{index}/masks")).json() == {"masks": []}


async def test_an_image_without_masks(service: Service) -> None:
    job = await service.submit(1)
    service.work(job["id"], lambda _: result_row([]), 1)
    assert (await service.client.get(f"/v1/jobs/{job['id']}/items/0")).json()["mask_count"] == 0
    assert (await service.client.get(f"/v1/jobs/{job['id']}/items/0/masks")).json() == {"masks": []}


async def test_archived_masks_read_the_same(service: Service) -> None:
    job = await service.submit(1)
    rles = some_masks(4)
    plain = result_row(rles)
    service.work(job["id"], lambda _: {**plain, "codec": 1, "rle": zlib.compress(plain["rle"])}, 1)
    masks = (await service.client.get(f"/v1/jobs/{job['id']}/items/0/masks")).json()["masks"]
    assert [m["segmentation"] for m in masks] == rles
