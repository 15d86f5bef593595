"""Attacks on calls for one image: uploads, forms, and the names of images."""

import io
import json
from typing import Any

import httpx
from PIL import Image

from tests.attacks.attack import Target, attack, picture, problem
from tests.attacks.by_test import by_test

AUTO = {"model": "null", "task": {"type": "auto"}}


def upload(target: Target, image: bytes, request: dict[str, Any] = AUTO) -> httpx.Response:
    files: Any = {"image": ("a", image), "request": (None, json.dumps(request))}
    return target.http.post("/v1/segment", files=files)


@attack("an uploaded bomb: 400 million pixels in 50 kB", "not built")
def bomb(target: Target) -> str:
    out = io.BytesIO()
    Image.new("1", (20_000, 20_000)).save(out, format="PNG")
    said = problem(upload(target, out.getvalue()), 422, "IMAGE_TOO_LARGE")
    assert upload(target, picture()).status_code == 200
    return said


@attack("HTML, SVG, a form and nothing as the uploaded image", "not built")
def no_images(target: Target) -> str:
    for image in (b"<html></html>", b"<svg xmlns='http://www.w3.org/2000/svg'/>", b"--b\r\n\r\nx\r\n--b--"):
        said = problem(upload(target, image), 422, "UNSUPPORTED_FORMAT")
    problem(upload(target, b""), 422, "INVALID_REQUEST")
    return said


@attack("forms without a boundary, without an end, with huge heads, with many parts, with parts twice", "not built")
def forms(_target: Target) -> str:
    return by_test("tests/api/instant/test_reading.py::test_forms_that_are_none")


@attack("an upload of 64 MB", "not built")
def large(target: Target) -> str:
    return problem(upload(target, bytes(64 * 2**20)), 413, "BODY_TOO_LARGE")


@attack("images on metadata servers, in files and in other buckets", "not built")
def places(target: Target) -> str:
    for image in ("https://169.254.169.254/latest/meta-data", "file:///etc/passwd", "s3://elsewhere/a.png"):
        said = problem(target.http.post("/v1/segment", json=AUTO | {"image": image}), 422)
    return said


@attack("malformed calls in Redis", "not built")
def malformed(_target: Target) -> str:
    return by_test("tests/workers/instant/test_calls.py::test_nothing_in_redis_ends_the_threads")


@attack("an image that the caller's tenant may not use", "not built")
def tenants(_target: Target) -> str:
    return by_test("tests/api/instant/test_reading.py::test_a_tenant_has_its_places")
