"""The client against the running service: from pictures on this machine to masks in other libraries."""

import asyncio
import io
import json
import os
import re
import subprocess
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from pycocotools import mask as pycoco
from pycocotools.coco import COCO

import maskworks
from deploy.local.s3 import s3_client
from deploy.local.stack import Stack
from maskworks import AsyncClient, Client, Config, Job
from maskworks.config import S3Access

DOCS = Path(__file__).parents[2] / "docs"


@pytest.fixture(scope="module")
def job(client: Client, photos: Path) -> Job:
    """A job over local files that has ended."""
    changes: list[str] = []
    uploads: list[int] = []
    job = client.jobs.submit(images=[photos], labels={"of": "client"}, on_upload=uploads.append)
    job.wait(200, on_change=lambda record: changes.append(record.state), check=True)
    assert changes[-1] == "succeeded" and job.counts.succeeded == 2 and uploads == [2]
    return job


def uploaded(service: Stack) -> dict[str, Any]:
    access = service.stores.s3
    s3 = s3_client(access.endpoint_url, access.access_key, access.secret_key)
    listed = s3.list_objects_v2(Bucket=service.bucket, Prefix="uploads/")["Contents"]
    return {entry["Key"]: entry["LastModified"] for entry in listed}


def test_masks_are_those_of_pycocotools_and_shapely(job: Job) -> None:
    results = list(job.results())
    assert [result.custom_id for result in results] == ["coffee.jpg", "more/cat.png"]
    for result in results:
        assert len(result.masks) == result.mask_count and result.masks
        for mask in result.masks:
            pixels = mask.to_numpy()
            assert pixels.shape == result.size and (pixels == pycoco.decode(mask.to_pycocotools())).all()
            polygon = mask.to_shapely()
            x, y, width, height = mask.bbox
            assert polygon.is_valid and polygon.area == mask.area and polygon.bounds == (x, y, x + width, y + height)
    table = job.to_pandas()
    assert list(table["area"]) == [mask.area for result in results for mask in result.masks]
    assert [item.custom_id for item in job.items("succeeded", page_size=1)] == list(dict.fromkeys(table["custom_id"]))


def test_a_file_of_results_is_what_the_server_sends(job: Job, service: Stack, tmp_path: Path) -> None:
    path = job.export("coco", tmp_path / "new" / "masks.json")
    with service.client() as http:
        sent = http.get(f"/v1/jobs/{job.id}/results", params={"format": "coco"})
    assert path.read_bytes() == sent.content and len(COCO(str(path)).getAnnIds()) > 0
    assert [each.name for each in path.parent.iterdir()] == ["masks.json"]


def test_an_interrupted_export_goes_on(job: Job, tmp_path: Path) -> None:
    folder = job.export("jsonl", tmp_path / "parts", page_size=1)
    files = sorted(folder.iterdir())
    assert [path.name for path in files] == ["part-000000.jsonl", "part-000001.jsonl"]
    first, second = (path.read_bytes() for path in files)
    files[0].write_bytes(b"kept")
    files[1].unlink()
    (folder / ".next").write_text(f"/v1/jobs/{job.id}/results 1 00000001")
    job.export("jsonl", folder, page_size=1)
    assert [path.read_bytes() for path in files] == [b"kept", second] and not (folder / ".next").exists()
    job.export("jsonl", folder, page_size=1)
    assert files[0].read_bytes() == first


def test_the_same_files_are_not_uploaded_again(client: Client, service: Stack, photos: Path, job: Job) -> None:
    before = uploaded(service)
    assert len(before) == 2
    again = client.jobs.submit(images=[photos], reuse=True).wait(200, check=True)
    assert uploaded(service) == before and again.id != job.id
    assert {result.reused_from.job_id for result in again.results() if result.reused_from} == {job.id}


def test_without_a_place_files_go_through_the_server(config: Config, photos: Path) -> None:
    with Client(config=replace(config, uploads=None, s3=S3Access())) as client:
        folder = client.uploads().folder
        job = client.jobs.submit(images=[photos]).wait(200, check=True)
        stored = client.upload(photos / "coffee.jpg", name="my cöffee.jpg")
        images = [item.image for item in job.items()]
    assert folder and len(images) == 2 and all(image.startswith(folder) for image in images)
    assert stored.image.startswith(folder) and stored.image.endswith("/my cöffee.jpg") and stored.format == "JPEG"


def test_the_asynchronous_client_says_the_same(config: Config, job: Job) -> None:
    async def everything() -> tuple[list[Any], list[str], list[Any], Any]:
        async with AsyncClient(config=config) as client:
            same = await client.jobs.get(job.id)
            events = [event.type async for event in same.events()]
            listed = [each.id async for each in client.jobs.list(labels={"of": "client"}, page_size=1)]
            results = [result async for result in same.results()]
            return results, events, listed, await (await client.jobs.get(job.id)).wait(5)

    results, events, listed, waited = asyncio.run(everything())
    assert results == list(job.results()) and events == ["done"] and listed == [job.id] and waited.done


def test_a_job_is_cancelled_retried_and_deleted(client: Client, service: Stack) -> None:
    items = [{"image": f"s3://{service.bucket}/nothing/{i}.jpg"} for i in range(1500)]
    job = client.jobs.submit(items=iter(items), idempotency_key="the-same")
    assert client.jobs.submit(items=items, idempotency_key="the-same").id == job.id
    assert job.counts.total == 1500
    with pytest.raises(maskworks.Conflict) as refused:
        job.delete()
    assert refused.value.reason == "JOB_NOT_DONE"
    assert job.cancel().state == "cancelled"
    with pytest.raises(maskworks.JobUnsuccessful, match="cancelled"):
        job.wait(check=True)
    again = job.retry(items=["7"])
    assert (again.record.retry_of, again.counts.total) == (job.id, 1)
    with pytest.raises(maskworks.JobUnsuccessful, match="1 OBJECT_NOT_FOUND"):
        again.wait(200, check=True)
    job.delete()
    job.delete()
    with pytest.raises(maskworks.NotFound):
        client.jobs.get(job.id)


def test_prompts_make_a_prompted_job(client: Client, photos: Path) -> None:
    item = {"image": photos / "coffee.jpg", "prompts": [{"id": "cup", "box": [150, 60, 450, 330]}]}
    job = client.jobs.submit(items=[item]).wait(200, check=True)
    (result,) = job.results()
    assert [mask.prompt_id for mask in result.masks] == ["cup"] and job.record.task["type"] == "prompted"


def test_one_image_is_segmented_in_the_call(client: Client, photos: Path) -> None:
    found = client.segment(photos / "coffee.jpg", points=[(300, 200)])
    assert found.size == (400, 600) and len(found.masks) == 3
    again = client.segment((photos / "coffee.jpg").read_bytes(), box=[150, 60, 450, 330])
    assert [mask.bbox for mask in again.masks] == [(150, 60, 300, 270)]
    assert len(client.segment(photos / "coffee.jpg").masks) > 1
    job = client.jobs.submit(images=[photos / "coffee.jpg"]).wait(200, check=True)
    (item,) = job.items()
    assert [mask.area for mask in client.segment(item.image).masks] == [mask.area for mask in job.masks(0)]


def test_an_image_is_embedded_once(client: Client, photos: Path) -> None:
    embedding = client.embed(photos / "coffee.jpg")
    assert embedding.size == (400, 600) and embedding.to_numpy().shape == embedding.shape
    assert client.embed(photos / "coffee.jpg", known=embedding) is embedding
    assert client.embed(photos / "more" / "cat.png", known=embedding).etag != embedding.etag


def test_the_server_draws_an_item(job: Job) -> None:
    assert Image.open(io.BytesIO(job.overlay(1))).size == (451, 300)
    assert Image.open(io.BytesIO(job.preview(1, side=100))).size == (100, 67)
    with pytest.raises(maskworks.NotFound, match="ITEM_NOT_FOUND"):
        job.overlay(2)


def test_annotations_are_stored_listed_exported_and_deleted(client: Client, tmp_path: Path) -> None:
    mask = {"image": "s3://images/a.jpg", "segmentation": {"size": [2, 2], "counts": "04"}, "stage": "assisted"}
    ids = client.annotations.store([{**mask, "annotator": "ann", "clicks": n} for n in range(3)])
    found = {one.id: one for one in client.annotations.list(stage="assisted", page_size=2)}
    assert [found[id].clicks for id in ids] == [0, 1, 2] and found[ids[0]].area == 4
    path = client.annotations.export("sa1b", tmp_path / "masks.jsonl", image_prefix="s3://images/a")
    assert path.read_text().count("segmentation") == 3
    for _ in range(2):  # as when the answer of the first try got lost
        client.annotations.delete(ids[0])
    with pytest.raises(maskworks.InvalidRequest, match="filter"):
        client.annotations.delete_many()
    assert client.annotations.delete_many(image_prefix="s3://images/a") == 2
    assert list(client.annotations.list()) == []


def test_a_webhook_is_followed_and_sent_again(client: Client, service: Stack, job: Job) -> None:
    assert (made := client.webhook_secrets.create()).secret
    assert made.id in {each.id for each in client.webhook_secrets.list()}
    with pytest.raises(maskworks.NotFound, match="WEBHOOK"):
        job.webhook()
    webhook = {"url": "https://hooks.example.com/", "events": ["job.expired"]}
    other = client.jobs.submit(items=[{"image": f"s3://{service.bucket}/nothing.jpg"}], webhook=webhook).wait(200)
    until = time.monotonic() + 60
    while other.webhook().state != "skipped":
        assert time.monotonic() < until
    assert other.redeliver_webhook().url == webhook["url"]


def test_a_refusal_has_its_reason_and_its_field(client: Client, config: Config) -> None:
    with pytest.raises(maskworks.InvalidRequest) as refused:
        client.jobs.submit(prefix="s3://images/a/", priority=11)
    assert refused.value.reason == "INVALID_REQUEST" and refused.value.errors[0]["pointer"] == "/priority"
    checked = client.jobs.validate({"task": {"type": "auto"}, "input": {"items": [{"image": "nowhere"}]}})
    assert not checked.valid and checked.errors[0]["pointer"] == "/input/items/0/image"
    with Client(config.url, "mw_wrong") as stranger, pytest.raises(maskworks.Unauthenticated):
        stranger.models()
    assert [model.name for model in client.models()] == ["null"]
    assert json.loads(json.dumps(refused.value.errors))


def blocks(page: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", (DOCS / page).read_text(), re.M | re.S)


def test_results_are_read_as_the_page_says(
    job: Job, config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    environment = {
        **{"PATH": os.environ["PATH"], "MASKWORKS_URL": config.url, "JOB": job.id},
        "AUTH": f"Authorization: Bearer {config.api_key}",
    }
    for commands in blocks("results.md", "bash"):
        subprocess.run(["bash", "-c", commands], env=environment, check=True, timeout=60)
    for example in blocks("results.md", "python"):
        exec(compile(example, "results.md", "exec"), {})
    said = capsys.readouterr().out
    assert said.count(" True\n") == sum(len(result.masks) for result in job.results())
    assert "succeeded\n" in said and "cat.png" in said
    assert (tmp_path / "part-0.jsonl").read_bytes() == (tmp_path / "masks.jsonl").read_bytes()


def test_the_examples_of_the_page_run(
    service: Stack, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MASKWORKS_STACK", str(service.folder.stack_file))
    (tmp_path / "photos").symlink_to(photos)
    examples, names = blocks("client.md", "python"), dict[str, Any]()
    for example in examples:
        exec(compile(example, "client.md", "exec"), names)
    names["client"].close()
    assert len(examples) > 4 and (tmp_path / "masks.json").exists() and names["pixels"].shape == (400, 600)
    assert "422 INVALID_REQUEST" in capsys.readouterr().out
