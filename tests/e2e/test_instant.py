"""One image now, by the whole service with sam_tiny: the masks are those of a job, the embedding is the model's own."""

import io
import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import skimage.data
import torch
from PIL import Image

from deploy.local.stack import Stack
from model.backends.sam import Segmenter
from tests.conftest import Bucket

ROOT = Path(__file__).parents[2]

AUTO = {"type": "auto", "points_per_side": 6, "pred_iou_thresh": 0.0, "stability_score_thresh": 0.0}
PROMPTS = [
    {"id": "face", "points": [[220, 120]], "labels": [1]},
    {"id": "head", "box": [100, 10, 400, 250]},
    {"id": "outside", "points": [[5000, 5]], "labels": [1]},
]
TASKS = [({"task": AUTO}, None), ({"task": {"type": "prompted"}, "prompts": PROMPTS}, PROMPTS)]


def png(pixels: np.ndarray) -> bytes:
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, format="PNG")
    return out.getvalue()


def cat() -> bytes:
    return png(skimage.data.chelsea())


def upload(http: httpx.Client, path: str, image: bytes, request: dict[str, Any], **more: Any) -> httpx.Response:
    files: Any = {"image": ("cat.png", image, "image/png"), "request": (None, json.dumps(request), "application/json")}
    return http.post(path, files=files, **more)


def job(http: httpx.Client, task: dict[str, Any], item: dict[str, Any]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The item of a job of one image, and its masks."""
    answer = http.post("/v1/jobs", json={"task": task, "input": {"items": [item]}})
    assert answer.status_code == 202, answer.text
    path = f"/v1/jobs/{answer.json()['id']}"
    assert http.get(path, params={"wait": 60}).json()["state"] == "succeeded"
    return http.get(f"{path}/items/0").json(), http.get(f"{path}/items/0/masks").json()["masks"]


@pytest.mark.parametrize(("asked", "prompts"), TASKS, ids=["auto", "prompted"])
def test_the_masks_are_those_of_a_job(
    http: httpx.Client, pictures: Bucket, asked: dict[str, Any], prompts: list[dict[str, Any]] | None
) -> None:
    uri = pictures.put("instant/cat.png", cat())
    item, masks = job(http, asked["task"], {"image": uri} | ({"prompts": prompts} if prompts else {}))
    assert masks
    named = http.post("/v1/segment", json=asked | {"image": uri})
    uploaded = upload(http, "/v1/segment", cat(), asked)
    for answer in (named, uploaded):
        assert answer.status_code == 200, answer.text
        found = answer.json()
        assert found["masks"] == masks
        for name in ("size", "orientation", "frames", "warnings", "model", "model_revision", "precision"):
            assert found[name] == item[name], name
    assert set(named.json()["timings_ms"]) == {"queue", "fetch", "decode", "encode", "mask", "rle"}


def test_a_second_click_needs_only_the_decoder(http: httpx.Client) -> None:
    image = cat()[:-12] + b"\0\0\0\x04tEXta\0b\0\x9d\x9c\x13\xb6" + cat()[-12:]  # other bytes, the same pixels
    clicks = [{"task": {"type": "prompted"}, "prompts": [{"points": [[x, 120]], "labels": [1]}]} for x in (220, 60)]
    answers = [upload(http, "/v1/segment", one, click) for one, click in zip((cat(), image), clicks, strict=True)]
    assert [answer.status_code for answer in answers] == [200, 200], [answer.text for answer in answers]
    again = answers[1].json()["timings_ms"]
    assert again["encode"] < 5, again


def test_the_embedding_is_the_model_s_own(http: httpx.Client) -> None:
    answer = upload(http, "/v1/embeddings", cat(), {})
    assert answer.status_code == 200, answer.text
    model = Segmenter.load("sam_tiny")
    shape = tuple(int(n) for n in answer.headers["x-embedding-shape"].split(","))
    found = np.frombuffer(answer.content, np.dtype("<f2")).reshape(shape)
    expected = model.embed(skimage.data.chelsea()).tensor[0].to(torch.float16).numpy()
    assert shape == expected.shape and np.array_equal(found, expected)
    assert answer.headers["x-image-size"] == "300,451"
    assert model.revision in answer.headers["etag"]


def test_an_embedding_that_the_caller_has_is_not_sent(http: httpx.Client, pictures: Bucket) -> None:
    uri = pictures.put("instant/again.png", cat())
    first = upload(http, "/v1/embeddings", cat(), {})
    etag = first.headers["etag"]
    again = http.post("/v1/embeddings", json={"image": uri}, headers={"If-None-Match": f'"other", W/{etag}'})
    assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", etag)
    other = http.post("/v1/embeddings", json={"image": uri}, headers={"If-None-Match": '"other", *'})
    assert other.status_code == 200 and other.content == first.content


@pytest.mark.parametrize(
    ("image", "reason"),
    [
        (b"<html><body>an image</body></html>", "UNSUPPORTED_FORMAT"),
        (b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>', "UNSUPPORTED_FORMAT"),
        (cat()[:2000], "DECODE_FAILED"),
    ],
    ids=["html", "svg", "cut"],
)
def test_what_is_no_image(http: httpx.Client, image: bytes, reason: str) -> None:
    answer = upload(http, "/v1/segment", image, {"task": AUTO})
    assert (answer.status_code, answer.json()["reason"]) == (422, reason), answer.text


def test_what_cannot_be_read(http: httpx.Client, pictures: Bucket) -> None:
    answer = http.post("/v1/segment", json={"task": AUTO, "image": f"s3://{pictures.name}/instant/nothing.png"})
    assert (answer.status_code, answer.json()["reason"]) == (422, "OBJECT_NOT_FOUND"), answer.text


def test_too_many_pixels(http: httpx.Client) -> None:
    """The cap is that of jobs; nothing is decoded."""
    out = io.BytesIO()
    Image.new("L", (9000, 9000)).save(out, format="PNG")
    answer = upload(http, "/v1/segment", out.getvalue(), {"task": AUTO})
    assert (answer.status_code, answer.json()["reason"]) == (422, "IMAGE_TOO_LARGE"), answer.text


def test_the_commands_of_the_guide(service: Stack, pictures: Bucket, tmp_path: Path) -> None:
    """The blocks of docs/rest.md, as they are printed."""
    section = (ROOT / "docs/rest.md").read_text().partition("## One image now")[2].partition("\n## ")[0]
    blocks = re.findall(r"^```bash\n(.*?)^```", section, re.M | re.S)
    (tmp_path / "cat.jpg").write_bytes(cat())
    pictures.put("photos/cat.jpg", cat())
    variables = {"MASKWORKS_URL": service.api_url, "AUTH": f"Authorization: Bearer {service.api_key}"}
    printed = [
        subprocess.run(
            ["bash", "-euo", "pipefail", "-c", block],
            cwd=tmp_path, env={**os.environ, **variables}, capture_output=True, text=True, check=True, timeout=60,
        ).stdout
        for block in blocks
    ]  # fmt: skip
    assert len(json.loads(printed[0])["masks"]) == 3 and "masks" in json.loads(printed[1])
    assert printed[2] == "304\n" and len((tmp_path / "embedding.f16").read_bytes()) > 0
    assert (tmp_path / "sam_tiny.onnx").stat().st_size > 1_000_000


def test_a_correction_names_the_mask_that_it_corrects(http: httpx.Client, pictures: Bucket) -> None:
    uri = pictures.put("instant/cat.png", cat())
    item = {"image": uri, "prompts": [{"points": [[220, 120]], "labels": [1]}]}
    answer = http.post("/v1/jobs", json={"task": {"type": "prompted"}, "input": {"items": [item]}})
    path = f"/v1/jobs/{answer.json()['id']}"
    assert http.get(path, params={"wait": 60}).json()["state"] == "succeeded"
    first = http.get(f"{path}/items/0/masks").json()["masks"][1]
    name = {"job_id": answer.json()["id"], "item_id": "0", "mask_id": first["id"]}
    clicks = {"points": [[220, 120], [20, 280]], "labels": [1, 0]}
    corrections: tuple[dict[str, Any], ...] = ({"mask_from": name}, {"mask": first["segmentation"]}, {})
    asked = [{"image": uri, "task": {"type": "prompted"}, "prompts": [clicks | more]} for more in corrections]
    by_name, by_value, without = (http.post("/v1/segment", json=each).json()["masks"] for each in asked)
    assert by_name == by_value != without and len(by_name) == 1
    _, of_a_job = job(http, {"type": "prompted"}, {"image": uri, "prompts": [clicks | corrections[0]]})
    assert of_a_job == by_name
    half = png(skimage.data.chelsea()[::2])
    smaller = upload(http, "/v1/segment", half, {"task": {"type": "prompted"}, "prompts": [{"mask_from": name}]})
    assert (smaller.status_code, smaller.json()["reason"]) == (422, "PROMPT_OUT_OF_BOUNDS")
    assert "the mask's size is [300, 451], the image's is [150, 451]" in smaller.json()["detail"]
    gone = http.post("/v1/segment", json=asked[0] | {"prompts": [{"mask_from": name | {"mask_id": 9}}]})
    assert (gone.status_code, gone.json()["reason"]) == (422, "MASK_NOT_FOUND")
    assert gone.json()["errors"][0]["pointer"] == "/prompts/0/mask_from/mask_id"
