"""Models of transformers by the whole service, with small random weights: the masks are those of transformers."""

import io
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image

from model.masks import rle
from model.spec import Prompt
from tests.conftest import Bucket
from tests.model.hub import networks, reference

Networks = dict[str, tuple[Any, Path]]
AUTO = {
    "type": "auto", "points_per_side": 4, "pred_iou_thresh": 0.05, "stability_score_thresh": 0.5,
    "stability_score_offset": 0.1, "box_nms_thresh": 1.0,
}  # fmt: skip
PROMPTS: list[dict[str, Any]] = [
    {"id": "one point", "points": [[30, 40]], "labels": [1]},
    {"id": "another", "points": [[61.5, 20]], "labels": [1]},
    {"id": "three points", "points": [[30, 40], [120, 90], [70, 50]], "labels": [1, 0, 1]},
    {"id": "box", "box": [10, 12, 80, 70]},
    {"id": "box and point", "points": [[50, 60]], "labels": [0], "box": [10, 12, 80, 70], "multimask": True},
]


def picture(height: int, width: int, seed: int) -> np.ndarray:
    blocks = np.random.default_rng(seed).integers(0, 256, (height // 8 + 1, width // 8 + 1, 3), dtype=np.uint8)
    return np.ascontiguousarray(np.kron(blocks, np.ones((8, 8, 1), np.uint8))[:height, :width])


PICTURES = (picture(96, 150, 1), picture(140, 130, 2))


def png(pixels: np.ndarray) -> bytes:
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, format="PNG")
    return out.getvalue()


def submit(http: httpx.Client, model: str, task: dict[str, Any], items: list[dict[str, Any]]) -> str:
    answer = http.post("/v1/jobs", json={"model": model, "task": task, "input": {"items": items}})
    assert answer.status_code == 202, answer.text
    return f"/v1/jobs/{answer.json()['id']}"


def masks_of(http: httpx.Client, path: str) -> list[list[dict[str, Any]]]:
    while not (job := http.get(path, params={"wait": 60}).json())["done"]:
        pass
    assert job["state"] == "succeeded", job
    return [http.get(f"{path}/items/{i}/masks").json()["masks"] for i in range(len(PICTURES))]


def decoded(mask: dict[str, Any]) -> np.ndarray:
    return rle.decode(mask["segmentation"]).astype(bool)


def test_masks_are_those_of_transformers(
    http: httpx.Client, pictures: Bucket, networks_of_transformers: Networks
) -> None:
    images = [{"image": pictures.put(f"hub/{i}.png", png(each))} for i, each in enumerate(PICTURES)]
    prompted = [item | {"prompts": PROMPTS} for item in images]
    jobs = {
        name: (submit(http, name, {"type": "prompted"}, prompted), submit(http, name, AUTO, images))
        for name in networks_of_transformers
    }
    for name, (by_prompts, by_grid) in jobs.items():
        network, family = networks_of_transformers[name][0], name.removeprefix("hf:test/")
        side = networks.SIDE[family]
        for image, masks in zip(PICTURES, masks_of(http, by_prompts), strict=True):
            check_prompted(masks, reference.prompted(network, family, side, image, [Prompt(**p) for p in PROMPTS]))
        for image, masks in zip(PICTURES, masks_of(http, by_grid), strict=True):
            if family in ("sam", "sam_hq"):
                expected = reference.pipeline(network, family, side, image, AUTO)
            else:
                expected = [one.mask for one in reference.automatic(network, family, side, image, AUTO)]
            assert len(masks) > 1
            assert {decoded(mask).tobytes() for mask in masks} == {mask.tobytes() for mask in expected}
    item = http.get(f"{jobs['hf:test/sam2'][0]}/items/0").json()
    assert (item["model"], item["precision"], len(item["model_revision"])) == ("hf:test/sam2", "exact", 12)


def check_prompted(masks: list[dict[str, Any]], expected: list[reference.Answer]) -> None:
    """Only pixels whose logit is on the threshold may differ."""
    logits = np.concatenate([answer.logits for answer in expected])
    assert [mask["prompt_id"] for mask in masks] == [
        p["id"] for p, answer in zip(PROMPTS, expected, strict=True) for _ in answer.iou
    ]
    for mask, own, iou in zip(masks, logits, np.concatenate([answer.iou for answer in expected]), strict=True):
        assert np.abs(own[decoded(mask) != (own > 0)]).max(initial=0) < reference.ROUNDING
        assert mask["predicted_iou"] == pytest.approx(float(iou), abs=reference.ROUNDING)


def test_a_worker_serves_the_names_that_it_was_given_and_no_other(
    http: httpx.Client, pictures: Bucket, networks_of_transformers: Networks
) -> None:
    served = {model["name"]: model for model in http.get("/v1/models").json()["models"]}
    assert set(served) == {"sam_tiny", *networks_of_transformers} and served["sam_tiny"]["default"]
    assert all(served[name]["loaded"] and served[name]["parameters"] is None for name in networks_of_transformers)
    image = pictures.put("hub/one.png", png(PICTURES[0]))
    other = {
        "model": "hf:facebook/sam2.1-hiera-large",
        "task": {"type": "auto"},
        "input": {"items": [{"image": image}]},
    }
    refused = http.post("/v1/jobs", json=other)
    assert refused.status_code == 422 and refused.json()["errors"][0]["pointer"] == "/model", refused.text
    now = http.post(
        "/v1/segment",
        json={"model": "hf:test/sam_hq", "image": image, "task": {"type": "prompted"}, "prompts": PROMPTS[:1]},
    )
    assert now.status_code == 200 and len(now.json()["masks"]) == 3, now.text
    shape = http.post("/v1/embeddings", json={"model": "hf:test/sam", "image": image}).headers["X-Embedding-Shape"]
    assert shape == "32,8,8"
    kept = http.post("/v1/embeddings", json={"model": "hf:test/sam2", "image": image})
    assert (kept.status_code, kept.json()["reason"]) == (422, "TASK_NOT_SERVED"), kept.text
