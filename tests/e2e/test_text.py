"""Words become masks by the whole service, with the weak model for text from the Python index."""

import io
import json
import time
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import httpx
import numpy as np
import pyarrow.parquet as parquet
import pytest
import skimage.data
from PIL import Image
from pycocotools import mask as coco

from deploy.local.stack import Stack
from tests.conftest import Bucket

PHRASES = ["a cup of coffee", "a helmet"]
Seen = set[tuple[str, float, int]]


def png(pixels: np.ndarray) -> bytes:
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, format="PNG")
    return out.getvalue()


def seen(masks: Iterable[Mapping[str, Any]]) -> Seen:
    return {(mask["phrase"], round(mask["score"], 6), int(mask["area"])) for mask in masks}


@pytest.fixture
def text_worker(service: Stack) -> Iterator[None]:
    """A second worker, which serves text."""
    name = service.add_worker({"MASKWORKS_TEXT": "offline"})
    yield
    service.supervisor.stop(name)


def submit(http: httpx.Client, body: dict[str, Any]) -> str:
    """The path of the job. Refused until the worker has loaded its models."""
    until = time.monotonic() + 200
    while (answer := http.post("/v1/jobs", json=body)).status_code == 422 and time.monotonic() < until:
        assert answer.json()["reason"] == "TASK_NOT_SERVED", answer.text
        time.sleep(0.2)
    assert answer.status_code == 202, answer.text
    return f"/v1/jobs/{answer.json()['id']}"


@pytest.mark.usefixtures("text_worker")
def test_phrases_become_masks_with_scores_in_every_export(http: httpx.Client, pictures: Bucket) -> None:
    photographs = {"coffee": skimage.data.coffee(), "astronaut": skimage.data.astronaut()}
    items = [{"image": pictures.put(f"text/{name}.png", png(pixels))} for name, pixels in photographs.items()]
    task = {"type": "text", "phrases": PHRASES, "max_masks": 1}
    path = submit(http, {"task": task, "input": {"items": items}})
    while not (job := http.get(path, params={"wait": 60}).json())["done"]:
        pass
    assert job["state"] == "succeeded", job
    masks = [http.get(f"{path}/items/{i}/masks").json()["masks"] for i in range(2)]
    assert [[mask["phrase"] for mask in each] for each in masks] == [[phrase] for phrase in PHRASES]
    assert all(0.3 < mask["score"] <= 1 and mask["area"] for each in masks for mask in each)
    assert "+" in http.get(f"{path}/items/0").json()["model_revision"]
    check_exports(http, path, seen(mask for each in masks for mask in each))


def check_exports(http: httpx.Client, path: str, expected: Seen) -> None:
    def export(format: str) -> bytes:
        return http.get(f"{path}/results", params={"format": format}).content

    lines = [json.loads(line) for line in export("jsonl").splitlines()[:-1]]
    assert seen(mask for line in lines for mask in line["masks"]) == expected
    images = [json.loads(line) for line in export("sa1b").splitlines()[:-1]]
    assert seen(mask for image in images for mask in image["annotations"]) == expected
    data = json.loads(export("coco"))
    assert [category["name"] for category in data["categories"]] == PHRASES
    assert seen(data["annotations"]) == expected
    names = {category["id"]: category["name"] for category in data["categories"]}
    entries = json.loads(export("coco_results"))
    areas = [int(coco.area(entry["segmentation"])) for entry in entries]
    found = [{"phrase": names[e["category_id"]], **e, "area": area} for e, area in zip(entries, areas, strict=True)]
    assert seen(found) == expected
    assert seen(f["properties"] for f in json.loads(export("geojson"))["features"] if f["geometry"]) == expected
    assert seen(parquet.read_table(io.BytesIO(export("parquet"))).to_pylist()) == expected
