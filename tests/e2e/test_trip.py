"""The trip of an image over HTTP and real process boundaries: API, dispatcher, Redis, worker with sam_tiny, results."""

import hashlib
import io
import json
import re
import time
from typing import Any

import httpx
import numpy as np
import pytest
import redis
import skimage.data
from PIL import Image
from prometheus_client.parser import text_string_to_metric_families
from pycocotools import mask as coco
from pycocotools.coco import COCO
from sqlalchemy import text

from db.engine import sync_engine
from db.ids import read_job_id
from deploy.local.stack import Stack
from model.masks.rle import decode
from tests.conftest import Bucket
from tests.jobs import check_invariants

AUTO = {"type": "auto", "points_per_side": 6, "pred_iou_thresh": 0.0, "stability_score_thresh": 0.0}
"""Loose, so that masks come back whatever the bundled weights are worth."""


def encoded(pixels: np.ndarray, kind: str = "JPEG", **options: Any) -> bytes:
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, format=kind, **options)
    return out.getvalue()


def put_photographs(pictures: Bucket, folder: str) -> list[str]:
    photographs = {
        "astronaut": skimage.data.astronaut(),
        "cat": skimage.data.chelsea(),
        "coffee": skimage.data.coffee(),
    }
    return [pictures.put(f"{folder}/{name}.jpg", encoded(pixels)) for name, pixels in photographs.items()]


def submit(http: httpx.Client, **body: Any) -> str:
    answer = http.post("/v1/jobs", json=body)
    assert answer.status_code == 202, answer.text
    assert answer.headers["location"] == f"/v1/jobs/{answer.json()['id']}"
    return str(answer.json()["id"])


def wait(http: httpx.Client, job: str, seconds: float = 150) -> dict[str, Any]:
    """Poll by ETag until the job is done; the counts add up at every poll."""
    until, etag = time.monotonic() + seconds, ""
    while time.monotonic() < until:
        answer = http.get(f"/v1/jobs/{job}", params={"wait": 5}, headers={"If-None-Match": etag} if etag else {})
        if answer.status_code == 304:
            continue
        etag, body = answer.headers["etag"], answer.json()
        counts = dict(body["counts"])
        total = counts.pop("total")
        assert sum(counts.values()) == total, body
        if body["done"]:
            return dict(body)
    raise AssertionError(f"{job} not done after {seconds} s: {body}")


def test_photographs_become_masks(service: Stack, http: httpx.Client, pictures: Bucket) -> None:
    put_photographs(pictures, "auto")
    prefix = f"s3://{pictures.name}/auto/"
    body = wait(http, submit(http, task=AUTO, input={"prefix": prefix, "glob": "*.jpg"}, labels={"run": "7"}))
    assert body["state"] == "succeeded" and body["counts"]["succeeded"] == 3, body
    items = http.get(f"/v1/jobs/{body['id']}/items").json()["items"]
    assert [item["size"] for item in items] == [[512, 512], [300, 451], [400, 600]]
    for item in items:
        masks = http.get(f"/v1/jobs/{body['id']}/items/{item['id']}/masks").json()["masks"]
        assert len(masks) == item["mask_count"] > 0
        for mask in masks:
            assert coco.area(mask["segmentation"]) == mask["area"]
            assert list(coco.toBbox(mask["segmentation"])) == mask["bbox"]
    engine = sync_engine(service.stores.database_url)
    check_invariants(engine, read_job_id(body["id"]))  # type: ignore[arg-type]
    engine.dispose()
    assert [job["id"] for job in http.get("/v1/jobs", params={"label.run": "7"}).json()["jobs"]] == [body["id"]]
    check_reuse(http, prefix, body["id"])


def check_reuse(http: httpx.Client, prefix: str, first: str) -> None:
    """A second job over the same prefix takes everything over, and its files are those of the first."""
    job = wait(http, submit(http, task=AUTO, input={"prefix": prefix, "glob": "*.jpg"}, reuse=True))
    assert job["reuse"] and job["counts"]["succeeded"] == 3, job
    items = http.get(f"/v1/jobs/{job['id']}/items").json()["items"]
    assert [item["reused_from"] for item in items] == [{"job_id": first, "item_id": str(i)} for i in range(3)]
    assert all(item["timings_ms"].keys() == {"queue", "fetch"} for item in items)
    old, new = ([export(http, of, format) for format in ("coco", "coco_results", "sa1b")] for of in (first, job["id"]))
    assert old == new


def export(http: httpx.Client, job: str, format: str) -> Any:
    """A file without what it says about its job."""
    answer = http.get(f"/v1/jobs/{job}/results", params={"format": format})
    if format == "sa1b":
        return answer.text.splitlines()[:-1]
    body = answer.json()
    return {**body, "info": None} if format == "coco" else body


def assert_same(found: list[dict[str, Any]], expected: list[dict[str, Any]]) -> None:
    """Masks of two runs. Beside other images a processor may round the last bit of a logit differently."""
    assert [mask["prompt_id"] for mask in found] == [mask["prompt_id"] for mask in expected]
    for one, other in zip(found, expected, strict=True):
        assert one["predicted_iou"] == pytest.approx(other["predicted_iou"], abs=1e-5)
        pixels = decode(one["segmentation"]), decode(other["segmentation"])
        assert np.logical_and(*pixels).sum() >= 0.99 * np.logical_or(*pixels).sum()


def test_prompts_become_masks_and_a_coco_file(http: httpx.Client, pictures: Bucket, tmp_path: Any) -> None:
    cat = put_photographs(pictures, "prompted")[1]
    prompts = [
        {"id": "face", "points": [[220, 120]], "labels": [1]},
        {"id": "head", "box": [100, 10, 400, 250]},
        {
            "id": "both",
            "points": [[220, 120], [20, 280]],
            "labels": [1, 0],
            "box": [100, 10, 400, 250],
            "multimask": True,
        },
    ]
    items = [{"custom_id": "the cat", "image": cat, "prompts": prompts}]
    body = wait(http, submit(http, model="sam_tiny", task={"type": "prompted"}, input={"items": items}))
    assert body["state"] == "succeeded", body
    lines = http.get(f"/v1/jobs/{body['id']}/results", params={"format": "jsonl"}).text.splitlines()
    masks = json.loads(lines[0])["masks"]
    assert [mask["prompt_id"] for mask in masks] == ["face"] * 3 + ["head"] + ["both"] * 3
    file = tmp_path / "coco.json"
    file.write_bytes(http.get(f"/v1/jobs/{body['id']}/results", params={"format": "coco"}).content)
    dataset = COCO(str(file))
    assert len(dataset.getAnnIds()) == 7 and dataset.annToMask(dataset.loadAnns([1])[0]).shape == (300, 451)
    everywhere = {"prefix": cat.rsplit("/", 1)[0], "prompts": prompts}
    job = wait(http, submit(http, task={"type": "prompted"}, input=everywhere))
    assert job["counts"]["succeeded"] == 3 and job["input"]["prompts"] == 3, job
    assert_same(http.get(f"/v1/jobs/{job['id']}/items/1/masks").json()["masks"], masks)
    each = [http.get(f"/v1/jobs/{job['id']}/items/{i}/masks").json()["masks"] for i in (0, 2)]
    assert [[m["prompt_id"] for m in of_item] for of_item in each] == [[m["prompt_id"] for m in masks]] * 2


def test_an_output_in_s3_equals_the_results(http: httpx.Client, pictures: Bucket, tmp_path: Any) -> None:
    images = [*put_photographs(pictures, "output"), f"s3://{pictures.name}/output/missing.jpg"]
    output = {"uri": f"s3://{pictures.name}/out", "formats": ["coco", "jsonl"]}
    items = [{"image": image} for image in images]
    body = wait(http, submit(http, task=AUTO, input={"items": items}, output=output))
    body = wait_output(http, body["id"])
    assert body["output"]["state"] == "complete", body["output"]
    prefix, folder = f"s3://{pictures.name}/", f"out/{body['id']}/"
    assert body["output"]["manifest"] == f"{prefix}{folder}manifest.json"
    manifest = json.loads(s3_bytes(pictures, f"{folder}manifest.json"))
    assert manifest["job"]["state"] == body["state"] == "partially_succeeded"
    assert manifest["job"]["counts"] == body["counts"]
    for shard in manifest["shards"]:
        content = s3_bytes(pictures, shard["uri"].removeprefix(prefix))
        results = http.get(f"/v1/jobs/{body['id']}/results", params={"format": shard["format"]})
        assert content == results.content and hashlib.sha256(content).hexdigest() == shard["sha256"]
        (link,) = (entry["url"] for entry in body["output"]["links"] if entry["format"] == shard["format"])
        assert httpx.get(link).content == content
    file = tmp_path / "coco.json"
    file.write_bytes(s3_bytes(pictures, manifest["shards"][0]["uri"].removeprefix(prefix)))
    assert len(COCO(str(file)).getAnnIds()) > 0


def wait_output(http: httpx.Client, job: str) -> dict[str, Any]:
    """Poll by ETag until the output is final. It changes with the output's state too."""
    tag, body = '"none"', {"output": {"state": "pending"}}
    while body["output"]["state"] in ("pending", "writing"):
        answer = http.get(f"/v1/jobs/{job}", params={"wait": 10}, headers={"If-None-Match": tag})
        if answer.status_code == 200:
            tag, body = answer.headers["etag"], answer.json()
    return body


def s3_bytes(pictures: Bucket, key: str) -> bytes:
    return pictures.client.get_object(Bucket=pictures.name, Key=key)["Body"].read()


def test_good_items_succeed_and_each_bad_one_has_its_reason(http: httpx.Client, pictures: Bucket) -> None:
    cat = skimage.data.chelsea()
    exif = Image.Exif()
    exif[0x0112] = 6
    rgba = np.dstack([cat, np.full(cat.shape[:2], 128, np.uint8)])
    gray16 = (skimage.data.coins()[:200, :200].astype(np.uint16)) << 8
    box = {"type": "prompted"}
    objects = {
        "good.jpg": (encoded(cat), None),
        "missing.jpg": (None, "OBJECT_NOT_FOUND"),
        "text.jpg": (b"hello, I am no JPEG", "UNSUPPORTED_FORMAT"),
        "empty.jpg": (b"", "UNSUPPORTED_FORMAT"),
        "cut.jpg": (encoded(cat)[:5000], "DECODE_FAILED"),
        "one.png": (encoded(cat[:1, :1], "PNG"), None),
        "rgba.png": (encoded(rgba, "PNG"), None),
        "gray16.png": (encoded(gray16, "PNG"), None),
        "turned.jpg": (encoded(cat, exif=exif), None),
        "big.png": (encoded(np.zeros((900, 900), np.uint8), "PNG"), "IMAGE_TOO_LARGE"),
        "outside.jpg": (encoded(cat), "PROMPT_OUT_OF_BOUNDS"),
    }
    items, expected = [], []
    for key, (data, reason) in objects.items():
        uri = pictures.put(f"bad/{key}", data) if data is not None else f"s3://{pictures.name}/bad/{key}"
        point = [0, 0] if key != "outside.jpg" else [10_000, 5]
        items.append({"custom_id": key, "image": uri, "prompts": [{"id": "p", "points": [point], "labels": [1]}]})
        expected.append(reason)
    elsewhere = {"custom_id": "elsewhere", "image": "s3://elsewhere/a.jpg", "prompts": items[0]["prompts"]}
    refused = http.post("/v1/jobs", json={"task": box, "input": {"items": [*items, elsewhere]}})
    assert (refused.status_code, refused.json()["reason"]) == (422, "BUCKET_NOT_ALLOWED")
    body = wait(http, submit(http, task=box, input={"items": items}))
    assert body["state"] == "partially_succeeded"
    found = http.get(f"/v1/jobs/{body['id']}/items").json()["items"]
    assert [item["error"] and item["error"]["reason"] for item in found] == expected
    turned = next(item for item in found if item["custom_id"] == "turned.jpg")
    assert turned["size"] == [451, 300] and turned["orientation"] == 6
    assert {f["reason"]: f["count"] for f in body["failures"]}["UNSUPPORTED_FORMAT"] == 2


def test_killing_the_worker_loses_nothing(service: Stack, http: httpx.Client, pictures: Bucket) -> None:
    image = put_photographs(pictures, "kill")[1]
    job = submit(http, task=AUTO, input={"items": [{"image": image} for _ in range(24)]})
    _until_some_succeeded(http, job)
    service.stop_child("worker-1", hurry=True)
    service.start_child("worker-1")
    body = wait(http, job)
    assert body["state"] == "succeeded" and body["counts"]["succeeded"] == 24, body
    _check(service, job)


def test_an_emptied_redis_loses_nothing(service: Stack, http: httpx.Client, pictures: Bucket) -> None:
    image = put_photographs(pictures, "flush")[1]
    job = submit(http, task=AUTO, input={"items": [{"image": image} for _ in range(24)]})
    _until_some_succeeded(http, job)
    with redis.Redis.from_url(service.stores.redis_url) as client:
        client.flushall()
    assert wait(http, job)["state"] == "succeeded"
    _check(service, job)


def test_a_submit_without_redis_is_accepted_and_done_later(
    service: Stack, http: httpx.Client, pictures: Bucket
) -> None:
    image = put_photographs(pictures, "down")[1]
    service.stop_child("redis")
    job = submit(http, task=AUTO, input={"items": [{"image": image}]})
    assert http.get(f"/v1/jobs/{job}").json()["state"] == "pending"
    service.start_child("redis")
    assert wait(http, job)["state"] == "succeeded"
    _check(service, job)


def test_sigterm_gives_the_lease_back_within_ten_seconds(service: Stack, http: httpx.Client, pictures: Bucket) -> None:
    image = put_photographs(pictures, "term")[1]
    job = submit(http, task=AUTO, input={"items": [{"image": image} for _ in range(24)]})
    _until_some_succeeded(http, job)
    started = time.monotonic()
    service.stop_child("worker-1")
    assert time.monotonic() - started < 10
    engine = sync_engine(service.stores.database_url)
    with engine.connect() as connection:
        rows = connection.execute(
            text("SELECT state, attempts FROM chunks WHERE job_id = :job AND state <> 'done'"),
            {"job": read_job_id(job)},
        ).all()
    engine.dispose()
    assert rows and all(attempts == 0 and state in {"ready", "dispatched"} for state, attempts in rows), rows
    service.start_child("worker-1")
    assert wait(http, job)["state"] == "succeeded"
    _check(service, job)


def _until_some_succeeded(http: httpx.Client, job: str) -> None:
    until = time.monotonic() + 60
    while http.get(f"/v1/jobs/{job}").json()["counts"]["succeeded"] == 0:
        assert time.monotonic() < until, "nothing succeeded in a minute"
        time.sleep(0.1)


def _check(service: Stack, job: str) -> None:
    engine = sync_engine(service.stores.database_url)
    check_invariants(engine, read_job_id(job))  # type: ignore[arg-type]
    engine.dispose()


def log_of(service: Stack, name: str) -> list[dict[str, Any]]:
    """The JSON lines of a process. Celery prints a banner before its first one."""
    lines = (service.folder.logs / f"{name}.log").read_text().splitlines()
    return [json.loads(line) for line in lines if line.startswith("{")]


def test_each_process_serves_its_metrics(service: Stack, http: httpx.Client) -> None:
    """On a port of its own, which asks for no key and which the API's address does not lead to."""
    assert http.get("/metrics").status_code == 404
    expected = {
        "api": "maskworks_http_seconds",
        "dispatcher": "maskworks_workers",
        "worker-1": "maskworks_stage_seconds",
    }
    for name, metric in expected.items():
        said = " ".join(line["message"] for line in log_of(service, name))
        *_, url = re.findall(r"metrics are at (\S+)", said)  # of the process that runs: one before it was killed
        deadline = time.monotonic() + 60  # the worker may just have been killed, and the dispatcher counts those alive
        while metric not in (found := exported(url)):
            assert time.monotonic() < deadline, f"{name} serves {found}"
            time.sleep(0.2)


def exported(url: str) -> set[str]:
    families = text_string_to_metric_families(httpx.get(url).text)
    return {family.name for family in families if family.samples}


def test_logs_name_the_request_and_the_chunk(service: Stack, http: httpx.Client) -> None:
    answer = http.get("/v1/jobs", headers={"X-Request-Id": "mine-1"})
    assert answer.headers["x-request-id"] == "mine-1"
    assert any(line.get("request") == "mine-1" and "/v1/jobs" in line["message"] for line in log_of(service, "api"))
    done = [line for line in log_of(service, "worker-1") if line["message"].endswith(" done")]
    assert done and all(line["job"].startswith("job_") and line["chunk"] >= 0 for line in done)
