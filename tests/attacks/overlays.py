"""Attacks on overlays and previews: images that are not the tenant's, not there, or not what was segmented."""

import io

import httpx
from PIL import Image

from tests.attacks.attack import Target, attack, picture, problem
from tests.attacks.by_test import by_test


def overlay(target: Target, job: str, index: int = 0) -> httpx.Response:
    return target.http.get(f"/v1/jobs/{job}/items/{index}/overlay.png")


def segmented(target: Target) -> tuple[str, str]:
    """A key, and a job over the image that is there."""
    key = f"{target.prefix()}a.png"
    return key, target.items(target.put(key, picture()), model="null")["id"]


@attack("an overlay of another tenant's item", "no such route")
def another_tenant(_target: Target) -> str:
    return by_test("tests/api/test_scopes.py::test_another_tenants_job_is_not_found")


@attack("an image that was deleted before its overlay", "no such route")
def gone(target: Target) -> str:
    key, job = segmented(target)
    assert overlay(target, job).headers["content-type"] == "image/png"
    target.s3.delete_object(Bucket=target.stack.bucket, Key=key)
    return problem(overlay(target, job), 404, "OBJECT_NOT_FOUND")


@attack("another image, a bomb of 400 million pixels and SVG in the place of the image", "no such route")
def changed(target: Target) -> str:
    key, job = segmented(target)
    out = io.BytesIO()
    Image.new("1", (20_000, 20_000)).save(out, format="PNG")
    for content in (picture(33, 48), out.getvalue(), b"<svg xmlns='http://www.w3.org/2000/svg'/>"):
        target.put(key, content)
        said = problem(overlay(target, job), 409, "IMAGE_CHANGED")
    target.works()
    return said


@attack("an item of an image in a place that the tenant lost", "no such route")
def place(_target: Target) -> str:
    return by_test("tests/api/items/test_overlay.py::test_a_place_that_the_tenant_lost")


@attack("previews of every size, and one of 100,000 pixels a side", "no such route")
def preview_sizes(target: Target) -> str:
    _, job = segmented(target)
    path = f"/v1/jobs/{job}/items/0/preview.jpg"
    said = [problem(target.http.get(path, params={"side": side}), 422) for side in (0, 31, 2049, 100_000, -1, "1e3")]
    for side in range(32, 160):
        assert target.http.get(path, params={"side": side}).status_code == 200
    target.works()
    return said[-1]


@attack("a preview of an item of an image in a place that the tenant lost", "no such route")
def preview_place(_target: Target) -> str:
    return by_test("tests/api/items/test_overlay.py::test_a_place_that_the_tenant_lost")
