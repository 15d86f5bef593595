"""What a call may say, in JSON or in a form, and what is refused before it costs anything."""

import gzip
import json
from typing import Any

import pytest
from sqlalchemy import Engine, text

from api.instant.form import Form
from api.refusals import InvalidBody
from tests.api.conftest import new_tenant
from tests.api.instant.conftest import AUTO, NAMED, Service, refused

pytestmark = pytest.mark.anyio
CLICK = {"points": [[1, 2]], "labels": [1]}
PROMPTED = {"model": "null", "image": "s3://bucket/a.png", "task": {"type": "prompted"}}
HEAD = b'--b\r\nContent-Disposition: form-data; name="'


def form(*parts: tuple[str, bytes], end: bytes = b"--b--\r\n") -> bytes:
    return b"".join(HEAD + name.encode() + b'"\r\n\r\n' + content + b"\r\n" for name, content in parts) + end


@pytest.mark.parametrize(
    ("body", "reason", "pointer"),
    [
        ({}, "INVALID_REQUEST", "/task"),
        (AUTO, "INVALID_REQUEST", "/image"),
        (NAMED | {"model": "other"}, "UNKNOWN_MODEL", "/model"),
        (NAMED | {"image": "s3://elsewhere/a.png"}, "BUCKET_NOT_ALLOWED", "/image"),
        (NAMED | {"image": "https://169.254.169.254/latest/meta-data"}, "INVALID_REQUEST", "/image"),
        (NAMED | {"image": "https://images.example.com/a.png"}, "HOST_NOT_ALLOWED", "/image"),
        (NAMED | {"image": "s3://bucket/../a.png"}, "INVALID_REQUEST", "/image"),
        (NAMED | {"image": "file:///etc/passwd"}, "INVALID_REQUEST", "/image"),
        (NAMED | {"nonsense": 1}, "INVALID_REQUEST", "/nonsense"),
        (NAMED | {"prompts": [CLICK]}, "INVALID_REQUEST", "/prompts"),
        (NAMED | {"precision": "double"}, "INVALID_REQUEST", "/precision"),
        (NAMED | {"task": {"type": "text", "phrases": ["cat"]}}, "INVALID_REQUEST", "/task/type"),
        (NAMED | {"task": {"type": "auto", "points_per_side": 1000}}, "INVALID_REQUEST", "/task/points_per_side"),
        (PROMPTED, "INVALID_REQUEST", "/prompts"),
        (PROMPTED | {"prompts": []}, "INVALID_REQUEST", "/prompts"),
        (PROMPTED | {"prompts": [{"box": [9, 9, 1, 1]}]}, "INVALID_REQUEST", "/prompts/0/box"),
        (PROMPTED | {"prompts": [CLICK | {"id": "a"}, CLICK | {"id": "a"}]}, "INVALID_REQUEST", "/prompts/1/id"),
        (PROMPTED | {"prompts": [{"points": [[1, 2]], "labels": []}]}, "INVALID_REQUEST", "/prompts/0/labels"),
    ],
)
async def test_what_is_refused(calls: Service, body: dict[str, Any], reason: str, pointer: str) -> None:
    answer = await calls.client.post("/v1/segment", json=body)
    assert refused(answer) == (422, reason), answer.text
    assert answer.json()["errors"][0]["pointer"] == pointer


async def test_an_embedding_has_no_task(calls: Service) -> None:
    answer = await calls.client.post("/v1/embeddings", json=NAMED)
    assert refused(answer) == (422, "INVALID_REQUEST") and answer.json()["errors"][0]["pointer"] == "/task"


async def test_a_tenant_has_its_places(calls: Service, engine: Engine) -> None:
    tenant, key = new_tenant(engine)
    with engine.begin() as connection:
        connection.execute(
            text("UPDATE tenants SET places = ARRAY['s3://bucket/mine/'] WHERE id = :tenant"), {"tenant": tenant}
        )
    answer = await calls.client.post("/v1/segment", json=NAMED, headers={"Authorization": f"Bearer {key}"})
    assert refused(answer) == (422, "BUCKET_NOT_ALLOWED")


@pytest.mark.parametrize(
    ("content_type", "body", "pointer"),
    [
        ("multipart/form-data", form(("image", b"x")), ""),
        ("multipart/form-data; boundary=", form(("image", b"x")), ""),
        ("multipart/form-data; boundary=other", form(("image", b"x")), ""),
        ("multipart/form-data; boundary=b", b"", ""),
        ("multipart/form-data; boundary=b", form(), "/image"),
        ("multipart/form-data; boundary=b", form(("request", json.dumps(AUTO).encode())), "/image"),
        ("multipart/form-data; boundary=b", form(("image", b"")), "/image"),
        ("multipart/form-data; boundary=b", form(("image", b"x"), end=b""), ""),
        ("multipart/form-data; boundary=b", form(("image", b"x"), ("image", b"y")), "/image"),
        ("multipart/form-data; boundary=b", form(("image", b"x"), ("other", b"y")), ""),
        ("multipart/form-data; boundary=b", form(*[("image", b"x")] * 1000), "/image"),
        ("multipart/form-data; boundary=b", form(("image", b"x"), ("request", b"nonsense")), ""),
        ("multipart/form-data; boundary=b", form(("image", b"x"), ("request", b"[" * 5000)), ""),
        ("multipart/form-data; boundary=b", form(("image", b"x"), ("request", json.dumps(NAMED).encode())), "/image"),
        ("multipart/form-data; boundary=b", b"--b\r\n" + b"A: b\r\n" * 5000 + b"\r\nx\r\n--b--", ""),
        ("multipart/form-data; boundary=b", b"--b\r\nA: " + b"b" * 50_000 + b"\r\n\r\nx\r\n--b--", ""),
        ("multipart/form-data; boundary=b", b"--b\r\nContent-Type: text/plain\r\n\r\nx\r\n--b--", ""),
        ("multipart/form-data; boundary=b", HEAD + b'image"\r\nContent-Length: 9\r\n\r\nx\r\n--b--', ""),
    ],
)
async def test_forms_that_are_none(calls: Service, content_type: str, body: bytes, pointer: str) -> None:
    answer = await calls.client.post("/v1/segment", content=body, headers={"Content-Type": content_type})
    assert refused(answer) == (422, "INVALID_REQUEST"), answer.text
    assert answer.json()["errors"][0]["pointer"] == pointer, answer.text


@pytest.mark.parametrize("size", [1, 2, 7, 1000])
def test_a_form_comes_in_pieces_of_any_size(size: int) -> None:
    image = bytes(range(256)) + b"\r\n-b\r\r\n--c" * 3
    whole = form(("image", image), ("request", b'{"a": 1}')) + b"\r\n"
    read = Form('multipart/form-data; boundary="b"')
    for at in range(0, len(whole), size):
        read.feed(whole[at : at + size])
    assert read.finish() == (b'{"a": 1}', image)


def test_a_form_inside_a_form_is_an_image_like_any_other() -> None:
    """A worker finds out that it is none."""
    inner = b"--c\r\nContent-Disposition: form-data; name=image\r\n\r\nx\r\n--c--"
    read = Form("multipart/form-data; boundary=b")
    read.feed(form(("image", inner)))
    assert read.finish() == (b"{}", inner)


def test_a_boundary_over_lines_is_refused() -> None:
    with pytest.raises(InvalidBody):
        Form('multipart/form-data; boundary="b\n"')


async def test_other_media_types(calls: Service) -> None:
    for kind in ("text/plain", "application/x-www-form-urlencoded", "image/png", "multipart/mixed; boundary=b"):
        answer = await calls.client.post("/v1/segment", content=b"x", headers={"Content-Type": kind})
        assert refused(answer) == (415, "UNSUPPORTED_MEDIA_TYPE"), kind


async def test_bodies_that_are_too_large(calls: Service) -> None:
    assert refused(await calls.upload(b"x" * 100_000, AUTO)) == (413, "BODY_TOO_LARGE")
    packed = gzip.compress(b" " * 1_000_000 + json.dumps(NAMED).encode())
    headers = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
    answer = await calls.client.post("/v1/segment", content=packed, headers=headers)
    assert refused(answer) == (413, "BODY_TOO_LARGE")


async def test_values_without_end(calls: Service) -> None:
    points = ",".join(["[1,1]"] * 16_000)
    body = f'{{"task":{{"type":"auto"}},"image":"s3://bucket/a.png","prompts":[{points}]}}'
    answer = await calls.client.post("/v1/segment", content=body, headers={"Content-Type": "application/json"})
    assert refused(answer) == (422, "INVALID_REQUEST") and len(answer.json()["errors"]) <= 100


async def test_a_key_is_needed(calls: Service) -> None:
    for path in ("/v1/segment", "/v1/embeddings"):
        answer = await calls.client.post(path, json=NAMED, headers={"Authorization": "Bearer mw_no"})
        assert refused(answer) == (401, "UNAUTHENTICATED")
        unknown = await calls.client.post(path, json=NAMED, params={"wait": "1"})
        assert refused(unknown) == (422, "INVALID_PARAMETER")
