"""Annotations at the front door: stored, replaced, listed, exported, deleted, and hidden from other tenants."""

import io
import json
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO

from api.annotations.schemas import MAX_COUNTS
from tests.api.conftest import Service, new_tenant, some_masks

pytestmark = pytest.mark.anyio
HEX = "0" * 31


def made(image: str, number: int = 0, **more: Any) -> dict[str, Any]:
    rle = some_masks(number + 1)[number]
    given = {"image": image, "segmentation": rle, "stage": "assisted", "annotator": "ann", "clicks": number}
    return {**given, **more}


async def store(service: Service, *annotations: dict[str, Any]) -> list[str]:
    answer = await service.client.post("/v1/annotations", json={"annotations": annotations})
    assert answer.status_code == 201, answer.text
    ids: list[str] = answer.json()["ids"]
    return ids


async def listed(service: Service, **params: Any) -> list[dict[str, Any]]:
    """All pages, of two annotations each."""
    found: list[dict[str, Any]] = []
    while True:
        answer = await service.client.get("/v1/annotations", params={"page_size": 2, **params})
        assert answer.status_code == 200, answer.text
        found += answer.json()["annotations"]
        if (token := answer.json().get("next_page_token")) is None:
            return found
        params["page_token"] = token


async def test_what_is_stored_is_listed_by_page_and_filter(service: Service) -> None:
    job = await service.submit(1)
    source = {"job_id": job["id"], "item_index": 0, "mask_id": 7}
    given = [
        made("s3://bucket/a/1.jpg", 0, state="accepted"),
        made("s3://bucket/a/1.jpg", 1, state="rejected", stage="automatic", source=source),
        made("s3://bucket/b_/1.jpg", 2, state="corrected"),
    ]
    ids = await store(service, *given)
    found = {one["id"]: one for one in await listed(service)}
    assert set(found) == set(ids)
    for number, (id, one) in enumerate(zip(ids, given, strict=True)):
        assert {name: found[id][name] for name in one} == one
        assert found[id]["area"] == 35 and found[id]["bbox"] == [number, number, 7, 5]
    assert found[ids[0]]["source"] is None
    for params, numbers in (
        ({"state": "rejected"}, {1}),
        ({"stage": "assisted"}, {0, 2}),
        ({"image_prefix": "s3://bucket/a/"}, {0, 1}),
        ({"image_prefix": "s3://bucket/b_"}, {2}),
        ({"image_prefix": "s3://bucket/_"}, set()),
    ):
        assert {one["id"] for one in await listed(service, **params)} == {ids[n] for n in numbers}, params


async def test_an_id_of_ones_own_is_stored_once_and_may_be_reviewed_again(service: Service) -> None:
    own = uuid4().hex
    for state in ("accepted", "accepted", "rejected"):
        assert await store(service, made("s3://bucket/a.jpg", id=own, state=state)) == [own]
    (one,) = await listed(service)
    assert one["state"] == "rejected"


async def test_another_tenant_sees_none_and_replaces_none(service: Service) -> None:
    own = uuid4().hex
    await store(service, made("s3://bucket/a.jpg", id=own))
    job = await service.submit(1)
    _, key = new_tenant(service.engine)
    other: dict[str, Any] = {"headers": {"Authorization": f"Bearer {key}"}}
    assert (await service.client.get("/v1/annotations", **other)).json() == {"annotations": []}
    assert (await service.client.get("/v1/annotations/export", **other)).text == '{"count":0}\n'
    theirs = {"annotations": [made("s3://bucket/a.jpg", id=own, state="rejected")]}
    assert (await service.client.post("/v1/annotations", json=theirs, **other)).status_code == 201
    assert (await listed(service))[0]["state"] == "accepted"
    theirs["annotations"][0]["source"] = {"job_id": job["id"], "item_index": 0, "mask_id": 0}
    refused = await service.client.post("/v1/annotations", json=theirs, **other)
    assert refused.status_code == 422
    assert refused.json()["errors"][0]["pointer"] == "/annotations/0/source/job_id"


async def test_a_wrong_annotation_names_its_field_and_stores_nothing(service: Service) -> None:
    whole = made("s3://bucket/a.jpg")
    size, counts = [30, 40], whole["segmentation"]["counts"]
    wrong: list[tuple[str, dict[str, Any]]] = [
        ("segmentation", {"segmentation": {"size": [30, 41], "counts": counts}}),
        ("segmentation", {"segmentation": {"size": [30], "counts": counts}}),
        ("segmentation", {"segmentation": {"size": [10**6, 10**6], "counts": counts}}),
        ("segmentation", {"segmentation": {"size": size, "counts": "X" * (MAX_COUNTS + 1)}}),
        ("segmentation", {"segmentation": {"size": size, "counts": "not a mask"}}),
        ("segmentation", {"segmentation": {"size": size, "counts": "PU1"}}),  # no pixel
        ("image", {"image": "http://bucket/a.jpg"}),
        ("image", {"image": "s3://bucket/" + "a" * 2040}),
        ("state", {"state": "open"}),
        ("annotator", {"annotator": ""}),
        ("clicks", {"clicks": -1}),
        ("id", {"id": "1"}),
        ("more", {"more": 1}),
        ("source/mask_id", {"source": {"job_id": "job_" + HEX + "0", "item_index": 0}}),
    ]
    for field, change in wrong:
        body = {"annotations": [whole, {**whole, **change}]}
        answer = await service.client.post("/v1/annotations", json=body)
        assert answer.status_code == 422, (field, answer.text)
        assert f"/annotations/1/{field}" in {error["pointer"] for error in answer.json()["errors"]}, answer.text
    lists: list[dict[str, Any]] = [{"annotations": []}, {"annotations": [whole] * 1001}, {}]
    for sent in lists:
        answer = await service.client.post("/v1/annotations", json=sent)
        assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, "/annotations")
    assert await listed(service) == []


async def test_pycocotools_reads_the_coco_export(service: Service, tmp_path: Path) -> None:
    images = ["s3://bucket/a.jpg", "s3://bucket/b.jpg", "s3://another/a.jpg"]
    masks = [made(image, number) for image in images for number in range(2)]
    await store(service, *masks, made(images[0], 3, state="rejected"))
    answer = await service.client.get("/v1/annotations/export", params={"format": "coco", "stage": "assisted"})
    (tmp_path / "coco.json").write_bytes(answer.content)
    with redirect_stdout(io.StringIO()):
        coco = COCO(tmp_path / "coco.json")
    assert {image["file_name"] for image in coco.dataset["images"]} == {uri.partition("//")[2] for uri in images}
    found = {(coco.imgs[a["image_id"]]["coco_url"], json.dumps(a["segmentation"])) for a in coco.dataset["annotations"]}
    assert found == {(mask["image"], json.dumps(mask["segmentation"])) for mask in masks}
    assert all(coco_mask.area(a["segmentation"]) == a["area"] for a in coco.dataset["annotations"])


async def test_sa1b_and_json_lines(service: Service) -> None:
    await store(service, *(made(f"s3://bucket/{n // 2}.jpg", n) for n in range(4)))
    rejected = await store(service, made("s3://bucket/9.jpg", state="rejected"))
    answer = await service.client.get("/v1/annotations/export", params={"format": "sa1b"})
    *lines, last = map(json.loads, answer.text.splitlines())
    assert [line["image"]["file_name"] for line in lines] == ["bucket/0.jpg", "bucket/1.jpg"]
    assert [a["id"] for line in lines for a in line["annotations"]] == [1, 2, 3, 4]
    assert last == {"count": 4}
    answer = await service.client.get("/v1/annotations/export", params={"state": "rejected"})
    *lines, last = map(json.loads, answer.text.splitlines())
    assert [line["id"] for line in lines] == rejected and last == {"count": 1}
    whole = await service.client.get("/v1/annotations/export", params={"state": "corrected", "format": "coco"})
    assert whole.json()["images"] == whole.json()["annotations"] == []


async def test_every_page_of_an_export_is_read(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pages end by bytes, in the list and in the export."""
    monkeypatch.setattr("db.statements.annotations.PAGE_BYTES", 10)
    ids = await store(service, *(made(f"s3://bucket/{n % 3}.jpg", n) for n in range(9)))
    assert sorted(one["id"] for one in await listed(service)) == sorted(ids)
    answer = await service.client.get("/v1/annotations/export")
    assert json.loads(answer.text.splitlines()[-1]) == {"count": 9}


async def test_annotations_are_deleted_by_id_or_by_filter(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    ids = await store(service, *(made(f"s3://bucket/{n % 2}/a.jpg", n) for n in range(7)))
    for status in (204, 404):
        assert (await service.client.delete(f"/v1/annotations/{ids[0]}")).status_code == status
    monkeypatch.setattr("db.statements.annotations.DELETE_MOST", 2)
    answers = [await service.client.delete("/v1/annotations?image_prefix=s3://bucket/1/") for _ in range(2)]
    assert [answer.json() for answer in answers] == [{"deleted": 2, "more": True}, {"deleted": 1, "more": False}]
    assert {one["image"] for one in await listed(service)} == {"s3://bucket/0/a.jpg"}
    for query in ("", "?all=true&state=rejected", "?all=yes"):  # a filter that was forgotten deletes nothing
        refused = await service.client.delete(f"/v1/annotations{query}")
        assert (refused.status_code, refused.json()["errors"][0]["pointer"].split("/")[-1]) == (422, "all"), query
    assert len(await listed(service)) == 3
    monkeypatch.undo()
    assert (await service.client.delete("/v1/annotations?all=true")).json() == {"deleted": 3, "more": False}
    assert await listed(service) == []


async def test_another_tenant_deletes_none(service: Service) -> None:
    (own,) = await store(service, made("s3://bucket/a.jpg"))
    _, key = new_tenant(service.engine)
    other: dict[str, Any] = {"headers": {"Authorization": f"Bearer {key}"}}
    answer = await service.client.delete(f"/v1/annotations/{own}", **other)
    assert (answer.status_code, answer.json()["reason"]) == (404, "ANNOTATION_NOT_FOUND")
    assert (await service.client.delete("/v1/annotations?all=true", **other)).json()["deleted"] == 0
    assert len(await listed(service)) == 1


async def test_a_tenant_has_a_bounded_number(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    state = service.client.app.state
    monkeypatch.setattr(state, "settings", state.settings.model_copy(update={"max_annotations": 3}))
    ids = await store(service, *(made("s3://bucket/a.jpg", n) for n in range(2)))
    two = {"annotations": [made("s3://bucket/b.jpg", n) for n in range(2)]}
    refused = await service.client.post("/v1/annotations", json=two)
    assert (refused.status_code, refused.json()["reason"]) == (409, "TOO_MANY_ANNOTATIONS")
    assert "you have 2 annotations, and may have 3" in refused.json()["detail"]
    assert {one["id"] for one in await listed(service)} == set(ids)  # all of a call, or none
    await store(service, made("s3://bucket/b.jpg"))
    await store(service, made("s3://bucket/a.jpg", id=ids[0], state="rejected"))  # one in place of another fits
    await service.client.delete(f"/v1/annotations/{ids[1]}")
    await store(service, made("s3://bucket/c.jpg"))
    assert (await service.client.post("/v1/annotations", json=two)).status_code == 409
