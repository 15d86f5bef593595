"""SA-1B's form of a job's results."""

import json
from typing import Any

import numpy as np
import pytest

from db.states import ItemReason
from model.masks.rle import encode
from tests.api.conftest import Service, failure_row, result_row, some_masks

pytestmark = pytest.mark.anyio


async def lines_of(service: Service, job_id: str) -> list[dict[str, Any]]:
    """The lines of images and of failed items."""
    answer = await service.client.get(f"/v1/jobs/{job_id}/results?format=sa1b")
    assert answer.status_code == 200 and answer.headers["content-type"] == "application/x-ndjson"
    *lines, last = [json.loads(line) for line in answer.text.splitlines()]
    job = await service.job(job_id)
    assert last == {"job": {name: job[name] for name in ("id", "state", "done", "counts")}}
    return lines


async def test_an_image_is_a_line_as_sa1b_has_a_file(service: Service) -> None:
    nothing = encode(np.zeros((30, 40), np.bool_))
    answers = [[nothing, *some_masks(2)], [], [], some_masks(3)]
    items = [{"image": f"s3://bucket/deep/{name}.jpg"} for name in ("a", "b", "c", "a")]
    job = (await service.submit(4, input={"items": items}))["id"]
    service.work(job, lambda i: failure_row(ItemReason.TIMEOUT) if i == 1 else result_row(answers[i]), 4)
    *images, failed = await lines_of(service, job)
    size = {"width": 40, "height": 30}
    assert [line["image"] for line in images] == [
        {"image_id": 0, **size, "file_name": "deep/a#0.jpg"},
        {"image_id": 2, **size, "file_name": "deep/c.jpg"},
        {"image_id": 3, **size, "file_name": "deep/a#3.jpg"},
    ]
    assert [[a["id"] for a in line["annotations"]] for line in images] == [[1, 2], [], [3, 4, 5]]
    assert images[0]["annotations"][0] == {
        "id": 1,
        "segmentation": dict(some_masks(1)[0]),
        "area": 35,
        "bbox": [0, 0, 7, 5],
        "predicted_iou": 0.75,
        "stability_score": 0.5,
        "point_coords": [[0.5, 0.5]],
        "crop_box": [0, 0, 40, 30],
    }
    assert failed == {
        "failed_item": {
            "item_id": "1",
            "custom_id": "1",
            "image": "s3://bucket/deep/b.jpg",
            "reason": "TIMEOUT",
            "detail": "it was TIMEOUT",
        }
    }
    coco = (await service.client.get(f"/v1/jobs/{job}/results?format=coco")).json()
    named = [(image["id"], image["file_name"]) for image in coco["images"]]
    assert named == [(line["image"]["image_id"], line["image"]["file_name"]) for line in images]


async def test_a_job_in_any_state(service: Service) -> None:
    job = (await service.submit(2))["id"]
    assert await lines_of(service, job) == []
    service.write(service.claim(job, 1), {1: result_row(some_masks(1), prompt="p")})
    (line,) = await lines_of(service, job)
    assert line["image"]["image_id"] == 1
    assert [a["point_coords"] for a in line["annotations"]] == [None]
    await service.client.post(f"/v1/jobs/{job}:cancel")
    assert await lines_of(service, job) == [line]
