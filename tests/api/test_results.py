import contextlib
import io
import json
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO

from api.export import FORMATS
from db.engine import async_engine
from db.ids import read_job_id
from db.states import ItemReason
from model.rle import decode
from tests.api.conftest import Service, failure_row, result_row, some_masks

pytestmark = pytest.mark.anyio


async def lines_of(service: Service, job_id: str) -> list[dict[str, Any]]:
    answer = await service.client.get(f"/v1/jobs/{job_id}/results?format=jsonl")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/x-ndjson"
    return [json.loads(line) for line in answer.text.splitlines()]


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


@pytest.mark.parametrize(("format", "reason"), [("parquet", "NOT_SUPPORTED"), ("sa1b", "NOT_SUPPORTED"),
                                                ("pdf", "INVALID_PARAMETER")])  # fmt: skip
async def test_other_formats(service: Service, format: str, reason: str) -> None:
    job = (await service.submit(1))["id"]
    answer = await service.client.get(f"/v1/jobs/{job}/results?format={format}")
    assert (answer.status_code, answer.json()["reason"]) == (422, reason)


async def test_a_stream_takes_constant_memory(service: Service) -> None:
    """320 images, 6 MB of output: never more than a few blocks of it are held."""
    n = 320
    job = (await service.submit(n))["id"]
    row = result_row(some_masks(80))
    service.work(job, lambda _: row, n, chunk=5)
    engine = async_engine(service.database)
    job_id = read_job_id(job)
    assert job_id is not None
    try:
        for name in ("jsonl", "coco"):
            tracemalloc.start()
            total = 0
            async for block in FORMATS[name].blocks(engine, job_id):
                total += len(block)
            assert total > 5_000_000
            assert tracemalloc.get_traced_memory()[1] < 2_000_000, name
            tracemalloc.stop()
    finally:
        tracemalloc.stop()
        await engine.dispose()


async def test_a_stream_is_one_snapshot(service: Service) -> None:
    """A result that is written while a client downloads belongs to the next download, whole."""
    job = (await service.submit(64))["id"]
    for chunk in range(32):
        service.write(service.claim(job, chunk), {chunk: result_row(some_masks(40))})
    engine = async_engine(service.database)
    job_id = read_job_id(job)
    assert job_id is not None
    blocks = FORMATS["coco"].blocks(engine, job_id)
    content = await anext(blocks)
    service.write(service.claim(job, 40), {40: result_row(some_masks(40))})
    content += b"".join([block async for block in blocks])
    await engine.dispose()
    read = json.loads(content)
    assert {a["image_id"] for a in read["annotations"]} == {i["id"] for i in read["images"]} == set(range(32))
