"""COCO results as pycocotools reads them beside the COCO dataset."""

import contextlib
import io
import json
from pathlib import Path

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from db.states import ItemReason
from model.masks.rle import decode, encode
from tests.api.conftest import Service, failure_row, result_row, some_masks

pytestmark = pytest.mark.anyio


async def download(service: Service, job: str, format: str, folder: Path) -> str:
    answer = await service.client.get(f"/v1/jobs/{job}/results?format={format}")
    assert answer.status_code == 200 and answer.headers["content-type"] == "application/json"
    path = folder / f"{format}.json"
    path.write_bytes(answer.content)
    return str(path)


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # pycocotools' own, on numpy 2
async def test_pycocotools_reads_the_results_beside_the_dataset(service: Service, tmp_path: Path) -> None:
    nothing = encode(np.zeros((30, 40), np.bool_))
    answers = [[nothing, *some_masks(4)], [], [], some_masks(9)]
    job = (await service.submit(4))["id"]
    service.work(job, lambda i: failure_row(ItemReason.TIMEOUT) if i == 1 else result_row(answers[i]), 4)
    dataset, results = [await download(service, job, format, tmp_path) for format in ("coco", "coco_results")]
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO(dataset)
        found = truth.loadRes(results)
        evaluation = COCOeval(truth, found, "segm")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    assert evaluation.stats[0] == pytest.approx(1)
    for image in (0, 2, 3):
        masks = found.loadAnns(found.getAnnIds(imgIds=[image]))
        theirs = truth.loadAnns(truth.getAnnIds(imgIds=[image]))
        assert [decode(m["segmentation"]).sum() for m in masks] == [m["area"] for m in masks]
        for name in ("segmentation", "area", "category_id"):
            assert [m[name] for m in masks] == [m[name] for m in theirs]
        assert [list(m["bbox"]) for m in masks] == [m["bbox"] for m in theirs]
        assert [m["score"] for m in masks] == [m["predicted_iou"] for m in theirs]
    assert len(found.anns) == 13


async def test_results_of_a_job_in_any_state(service: Service, tmp_path: Path) -> None:
    job = (await service.submit(2))["id"]
    path = Path(await download(service, job, "coco_results", tmp_path))
    assert json.loads(path.read_bytes()) == []
    service.write(service.claim(job, 1), {1: result_row(some_masks(1))})
    await download(service, job, "coco_results", tmp_path)
    (entry,) = json.loads(path.read_bytes())
    assert entry == {"image_id": 1, "category_id": 1, "segmentation": dict(some_masks(1)[0]), "score": 0.75}
    await service.client.post(f"/v1/jobs/{job}:cancel")
    await download(service, job, "coco_results", tmp_path)
    assert json.loads(path.read_bytes()) == [entry]
