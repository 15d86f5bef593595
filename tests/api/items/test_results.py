import contextlib
import io
import json
import tracemalloc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas  # noqa: F401 pyarrow imports it at its first table, and its modules are not memory of an export
import pytest
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from db.engine import async_engine
from db.ids import read_job_id
from db.states import ItemReason
from exports.file_names import file_name
from exports.pages import NoSuchJob, Reader, Source, open_source
from exports.table import FORMATS
from model.masks.rle import decode, encode
from tests.api.conftest import Service, failure_row, result_row, some_masks

pytestmark = pytest.mark.anyio


async def lines_of(service: Service, job_id: str) -> list[dict[str, Any]]:
    answer = await service.client.get(f"/v1/jobs/{job_id}/results?format=jsonl")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/x-ndjson"
    *lines, last = [json.loads(line) for line in answer.text.splitlines()]
    job = await service.job(job_id)
    assert last == {"job": {name: job[name] for name in ("id", "state", "done", "counts")}}
    assert answer.headers["x-job-state"] == job["state"]
    return lines


async def test_jsonl_has_every_final_item_of_a_job_in_any_state(service: Service) -> None:
    job = (await service.submit(4))["id"]
    assert await lines_of(service, job) == []
    rles = some_masks(2)
    service.write(service.claim(job, 0), {0: result_row(rles)})
    service.write(service.claim(job, 2), {2: failure_row(ItemReason.TIMEOUT)})
    running = await lines_of(service, job)
    assert [(i["index"], i["state"]) for i in running] == [(0, "succeeded"), (2, "failed")]
    assert running[0] == {
        **(await service.client.get(f"/v1/jobs/{job}/items/0")).json(),
        "masks": (await service.client.get(f"/v1/jobs/{job}/items/0/masks")).json()["masks"],
    }
    assert running[1]["error"]["reason"] == "TIMEOUT" and running[1]["masks"] == []
    await service.client.post(f"/v1/jobs/{job}:cancel")
    ended = await lines_of(service, job)
    assert [(i["index"], i["state"]) for i in ended] == [
        (0, "succeeded"), (1, "cancelled"), (2, "failed"), (3, "cancelled"),
    ]  # fmt: skip


async def coco_of(service: Service, job_id: str, folder: Path) -> COCO:
    answer = await service.client.get(f"/v1/jobs/{job_id}/results?format=coco")
    assert answer.status_code == 200 and answer.headers["content-type"] == "application/json"
    path = folder / "coco.json"
    path.write_bytes(answer.content)
    with contextlib.redirect_stdout(io.StringIO()):
        return COCO(str(path))


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # pycocotools' own, on numpy 2
async def test_pycocotools_reads_the_coco_dataset(service: Service, tmp_path: Path) -> None:
    items = [{"image": f"s3://bucket/deep/{i}.jpg", "custom_id": f"tile-{i}"} for i in range(3)]
    job = (await service.submit(3, input={"items": items}))["id"]
    rles = [some_masks(2), [], some_masks(3)]
    service.work(job, lambda i: result_row(rles[i]) if i != 1 else failure_row(ItemReason.DECODE_FAILED), 3)
    coco = await coco_of(service, job, tmp_path)
    assert [(i["id"], i["file_name"], i["custom_id"], i["width"], i["height"]) for i in coco.dataset["images"]] == [
        (0, "deep/0.jpg", "tile-0", 40, 30), (2, "deep/2.jpg", "tile-2", 40, 30),
    ]  # fmt: skip
    assert sorted(coco.getAnnIds()) == [1, 2, 3, 4, 5]
    for image in (0, 2):
        annotations = coco.loadAnns(coco.getAnnIds(imgIds=[image]))
        assert len(annotations) == len(rles[image])
        for annotation, rle in zip(annotations, rles[image], strict=True):
            mask = coco.annToMask(annotation).astype(bool)
            assert np.array_equal(mask, decode(rle))
            assert annotation["area"] == mask.sum() and annotation["iscrowd"] == 0
            encoded = coco_mask.encode(np.asfortranarray(mask.astype(np.uint8)))
            assert annotation["bbox"] == coco_mask.toBbox(encoded).tolist()
            assert coco.loadCats(annotation["category_id"])[0]["name"] == "object"


async def test_coco_of_a_job_without_results(service: Service, tmp_path: Path) -> None:
    job = (await service.submit(1))["id"]
    coco = await coco_of(service, job, tmp_path)
    assert (coco.dataset["images"], coco.dataset["annotations"]) == ([], [])


@pytest.mark.parametrize(("format", "reason"), [("pdf", "INVALID_PARAMETER")])
async def test_other_formats(service: Service, format: str, reason: str) -> None:
    job = (await service.submit(1))["id"]
    answer = await service.client.get(f"/v1/jobs/{job}/results?format={format}")
    assert (answer.status_code, answer.json()["reason"]) == (422, reason)


async def test_a_download_says_whether_the_job_was_done_and_what_failed(service: Service, tmp_path: Path) -> None:
    """COCO of 1 of 4 images is a valid file: it must say that it is not all of the job."""
    items = [{"image": f"s3://bucket/{i}.jpg", "custom_id": f"tile-{i}"} for i in range(4)]
    job = (await service.submit(4, input={"items": items}))["id"]
    service.write(service.claim(job, 0), {0: result_row(some_masks(1))})
    service.write(service.claim(job, 2), {2: failure_row(ItemReason.TIMEOUT)})
    running = await coco_of(service, job, tmp_path)
    shown = await service.job(job)
    assert shown["state"] == "running" and shown["counts"]["succeeded"] == 1
    about = {"job_id": job, "job_state": "running", "done": False, "counts": shown["counts"]}
    assert {name: running.dataset["info"][name] for name in about} == about
    assert running.dataset["failed_items"] == [
        {
            "item_id": "2",
            "custom_id": "tile-2",
            "image": "s3://bucket/2.jpg",
            "reason": "TIMEOUT",
            "detail": "it was TIMEOUT",
        }
    ]
    await service.client.post(f"/v1/jobs/{job}:cancel")
    ended = await coco_of(service, job, tmp_path)
    assert (ended.dataset["info"]["job_state"], ended.dataset["info"]["done"]) == ("cancelled", True)
    assert await lines_of(service, job)


async def test_two_items_of_one_image_have_two_file_names(service: Service, tmp_path: Path) -> None:
    keys = ["a/b.jpg", "a/c.jpg", "a/b.jpg", "a/b#0.jpg", "noext", "noext", "x.y/noext", "a/b.tar.gz", "a/b#7"]
    keys += ["v.jpg?versionId=1", "v.jpg?versionId=2", "s.tif#page=1", "s.tif?versionId=1#page=2", "one.tif#page=3"]
    items = [{"image": f"s3://bucket/{key}"} for key in keys] + [{"image": "s3://other/a/c.jpg"}]
    job = (await service.submit(len(items), input={"items": items}))["id"]
    service.work(job, lambda _: result_row(some_masks(1)), len(items))
    images = (await coco_of(service, job, tmp_path)).dataset["images"]
    assert [image["file_name"] for image in images] == [
        "a/b#0.jpg", "a/c#1.jpg", "a/b#2.jpg", "a/b#0#3.jpg", "noext#4", "noext#5", "x.y/noext", "a/b.tar.gz",
        "a/b#7#8", "v#9.jpg", "v#10.jpg", "s#11.tif", "s#12.tif", "one.tif", "a/c#14.jpg",
    ]  # fmt: skip
    assert [image["coco_url"] for image in images] == [item["image"] for item in items]


def test_a_file_name_belongs_to_one_item() -> None:
    """Keys that look like the names that we make: no two items ever meet, whichever keys are shared."""
    keys = ["a", "a#1", "a#1#1", "a.b", "a#1.b", "a#2.b#3", ".b", ".b#1", "#1", "a#1.b.c", "a.", "a#3."]
    names = [
        file_name(f"s3://bucket/{key}", index, shared)
        for number, key in enumerate(keys)
        for index, shared in ((100, False), (2 * number, True), (2 * number + 1, True))
    ]
    plain = [name for name in names if name in keys]
    numbered = [name for name in names if name not in keys or name.count("#") > 1]
    assert len(set(plain)) == len(plain)
    assert not set(plain) & set(numbered)


async def test_masks_without_a_pixel_are_left_out_of_coco(service: Service, tmp_path: Path) -> None:
    """And images without a mask are in it: a trainer takes them for background."""
    nothing = encode(np.zeros((30, 40), np.bool_))
    answers = [[nothing, *some_masks(2)], [], [nothing]]
    job = (await service.submit(3))["id"]
    service.work(job, lambda i: result_row(answers[i], prompt="p"), 3)
    coco = await coco_of(service, job, tmp_path)
    assert coco.getImgIds() == [0, 1, 2]
    assert [(a["id"], a["image_id"]) for a in coco.dataset["annotations"]] == [(1, 0), (2, 0)]
    assert all(a["area"] > 0 for a in coco.dataset["annotations"])
    assert [[m["area"] == 0 for m in line["masks"]] for line in await lines_of(service, job)] == [
        [True, False, False], [], [True],
    ]  # fmt: skip


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # pycocotools' own, on numpy 2
async def test_a_file_is_perfect_against_itself(service: Service, tmp_path: Path) -> None:
    nothing = encode(np.zeros((30, 40), np.bool_))
    answers = [[nothing, *some_masks(4)], [], some_masks(9)]
    items = [{"image": "s3://bucket/same.jpg", "custom_id": f"{i}"} for i in range(3)]
    job = (await service.submit(3, input={"items": items}))["id"]
    service.work(job, lambda i: result_row(answers[i]), 3)
    truth = await coco_of(service, job, tmp_path)
    with contextlib.redirect_stdout(io.StringIO()):
        found = truth.loadRes([{**a, "score": a["predicted_iou"]} for a in truth.dataset["annotations"]])
        for kind in ("segm", "bbox"):
            evaluation = COCOeval(truth, found, kind)
            evaluation.evaluate()
            evaluation.accumulate()
            evaluation.summarize()
            assert evaluation.stats[0] == pytest.approx(1)


@asynccontextmanager
async def source_of(service: Service, job: str) -> AsyncIterator[Source]:
    engine = async_engine(service.database)
    job_id = read_job_id(job)
    assert job_id is not None
    reader = Reader(engine.execution_options(isolation_level="AUTOCOMMIT"), 2)
    try:
        yield await open_source(reader, service.tenant, job_id)
    finally:
        await engine.dispose()


async def test_a_stream_takes_constant_memory(service: Service) -> None:
    """A job of more than a megabyte in every format, of which a few pages are held. Parquet holds a row group,
    and a GeoPackage is a file on disk."""
    n, mask = 320, np.zeros((40, 1000), np.bool_)
    mask[[5, 10]] = True  # two runs in each column: long counts, few corners
    mask[20, :300:2] = True  # 150 polygons
    row = {**result_row([encode(mask)]), "height": 40, "width": 1000}
    job = (await service.submit(n))["id"]
    service.work(job, lambda _: row, n, chunk=5)
    async with source_of(service, job) as source:
        for name in FORMATS.keys() - {"parquet", "gpkg"}:
            tracemalloc.start()
            total = 0
            async for part in FORMATS[name].parts(source):
                total += len(part)
            peak = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
            assert total > 1.5 * peak, f"{name}: {peak} of {total} bytes"  # all of it held: below 1.1


async def test_annotations_are_of_listed_images_only(service: Service) -> None:
    """Results that are written while a client downloads may be in the file, but never half."""
    job = (await service.submit(64))["id"]
    for chunk in range(0, 64, 2):
        service.write(service.claim(job, chunk), {chunk: result_row(some_masks(3))})
    content = b""
    async with source_of(service, job) as source:
        async for part in FORMATS["coco"].parts(source):
            if not content.count(b"annotations") and b"annotations" in part:
                service.write(service.claim(job, 41), {41: result_row(some_masks(3))})
            content += part
    read = json.loads(content)
    assert [i["id"] for i in read["images"]] == list(range(0, 64, 2))
    assert sorted({a["image_id"] for a in read["annotations"]}) == list(range(0, 64, 2))
    assert read["info"]["counts"]["succeeded"] == 32


async def test_an_item_comes_once_however_results_come(service: Service) -> None:
    """Behind and ahead of the reader, while it reads."""
    job = (await service.submit(64))["id"]
    early, late = [i for i in range(64) if i % 3 == 0], [i for i in range(64) if i % 3 == 1]
    for chunk in early:
        service.write(service.claim(job, chunk), {chunk: result_row(some_masks(1))})
    seen = []
    async with source_of(service, job) as source:
        async for part in FORMATS["jsonl"].parts(source):
            seen.append(json.loads(part).get("index"))
            if late:
                chunk = late.pop() if len(late) % 2 else late.pop(0)
                service.write(service.claim(job, chunk), {chunk: result_row(some_masks(1))})
    assert seen[-1] is None and set(early) <= set(seen[:-1])
    assert seen[:-1] == sorted(set(seen[:-1]))


# A GeoPackage is whole before its first byte is sent.
@pytest.mark.parametrize("name", [name for name in FORMATS if name != "gpkg"])
async def test_a_job_deleted_meanwhile_does_not_end_as_a_whole_file(service: Service, name: str) -> None:
    job = (await service.submit(40))["id"]
    service.work(job, lambda _: result_row(some_masks(1)), 40)
    async with source_of(service, job) as source:
        parts = FORMATS[name].parts(source)
        await anext(parts)
        assert (await service.client.delete(f"/v1/jobs/{job}")).status_code == 204
        with pytest.raises(NoSuchJob):
            async for _ in parts:
                pass
