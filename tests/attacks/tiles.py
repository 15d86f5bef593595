"""Attacks on images that are segmented by windows."""

import io
import json
import struct
from typing import Any

from PIL import Image

from tests.attacks.attack import Target, attack, picture, problem

WINDOW = {"size": 64, "overlap": 16}


def sparse(side: int, size: int = 8192) -> bytes:
    """A TIFF of 8-bit grey that says it has side x side pixels. None of its tiles is in the file: all are black."""
    count = (-(-side // size)) ** 2
    head = struct.pack("<2sHI", b"II", 42, 8)
    at = 8 + 2 + 9 * 12 + 4
    entries = [(256, 4, 1, side), (257, 4, 1, side), (258, 3, 1, 8), (259, 3, 1, 1), (262, 3, 1, 1)]
    entries += [(322, 4, 1, size), (323, 4, 1, size), (324, 4, count, at), (325, 4, count, at + 4 * count)]
    directory = struct.pack("<H", len(entries)) + b"".join(struct.pack("<HHII", *entry) for entry in entries)
    return head + directory + bytes(4 + 8 * count)


def cut(target: Target, content: bytes, name: str, task: dict[str, Any], *prompts: dict[str, Any]) -> dict[str, Any]:
    """The item of an image that is cut, once its job has ended."""
    item = {"image": target.put(f"{target.prefix()}{name}", content)} | ({"prompts": [*prompts]} if prompts else {})
    answer = target.submit({"model": "null", "task": task, "input": {"items": [item]}})
    assert answer.status_code == 202, answer.text
    return target.item(target.done(answer.json()["id"]))


@attack("sizes and overlaps at their bounds, beyond them, and no numbers", "tile was unknown")
def bounds(target: Target) -> str:
    good: list[Any] = ["auto", {"size": 64}, {"size": 8192, "overlap": 2730}, {"size": 64, "overlap": 21}]
    bad: list[Any] = [{"size": 63}, {"size": 8193}, {"size": 2**63}, {"size": -64}, {"size": 64.5}, {"size": True}]
    bad += [{"size": 64, "overlap": overlap} for overlap in (0, 15, 22, 64, -16, 2**31, "16")]
    bad += ["AUTO", "", 64, [], {}, True, {"overlap": 16}, {"size": 64, "masks": "tiles"}, {"size": {"size": 64}}]
    for tile in good:
        body = {"task": {"type": "auto", "tile": tile}, "validate_only": True}
        answer = target.submit(body | {"input": {"items": [{"image": f"s3://{target.stack.bucket}/a.tif"}]}})
        assert answer.status_code == 200 and answer.json()["valid"], answer.text
    for tile in bad:
        said = problem(target.submit({"task": {"type": "auto", "tile": tile}, "input": {"prefix": "s3://abc/"}}), 422)
        assert "/task/tile" in said, (tile, said)
        said = problem(target.submit({"input": {"items": [{"image": "s3://abc/b.tif", "tile": tile}]}}), 422)
        assert "/input/items/0/tile" in said, (tile, said)
    infinite = json.dumps({"task": {"type": "auto", "tile": {"size": 1}}, "input": {"prefix": "s3://abc/"}})
    headers = {"Content-Type": "application/json"}
    for number in ("1e999", "NaN", "1" * 5000):
        answer = target.http.post("/v1/jobs", content=infinite.replace("1}", number + "}"), headers=headers)
        problem(answer, 422)
    return f"{len(good)} taken, {2 * len(bad) + 3} refused with 422"


@attack("a TIFF of 2 kB that says it has 131,072 x 131,072 pixels, in the smallest windows", "tile was unknown")
def too_many_windows(target: Target) -> str:
    error = cut(target, sparse(131_072), "a.tif", {"type": "auto", "tile": WINDOW})["error"]
    assert error["reason"] == "IMAGE_TOO_LARGE" and "windows" in error["detail"], error
    target.works()
    return f"{error['reason']}: {error['detail']}"


@attack("a PNG of 40,000 x 40,000 pixels in 200 kB, by windows", "tile was unknown")
def bomb(target: Target) -> str:
    out = io.BytesIO()
    Image.new("1", (40_000, 40_000)).save(out, format="PNG")
    error = cut(target, out.getvalue(), "a.png", {"type": "auto", "tile": {"size": 1024}})["error"]
    assert error["reason"] == "IMAGE_TOO_LARGE" and "tiled TIFF" in error["detail"], error
    target.works()
    return f"{error['reason']}: {error['detail']}"


@attack("images of one pixel, and of one row that is cut", "tile was unknown")
def thin(target: Target) -> str:
    said = []
    for height, width in ((1, 1), (1, 1000), (1000, 1)):
        item = cut(target, picture(height, width), "a.png", {"type": "auto", "tile": WINDOW})
        assert item["state"] == "succeeded" and item["size"] == [height, width], item
        said.append(f"{height}x{width}: {item['mask_count']} masks")
    return ", ".join(said)


@attack("prompts outside of an image that is cut, beside good ones and alone", "tile was unknown")
def outside(target: Target) -> str:
    task = {"type": "prompted", "tile": WINDOW}
    away = [{"id": "far", "points": [[1e6, 5]], "labels": [1]}, {"id": "box", "box": [500, 500, 600, 600]}]
    good = {"id": "good", "box": [0, 0, 200, 100]}
    both = cut(target, picture(100, 200), "a.png", task, *away, good)
    assert both["state"] == "succeeded" and both["mask_count"] == 1, both
    assert {warning["prompt_id"] for warning in both["warnings"]} >= {"far", "box"}, both
    alone = cut(target, picture(100, 200), "a.png", task, *away)
    assert alone["error"]["reason"] == "PROMPT_OUT_OF_BOUNDS", alone
    return f"{both['warnings']}; alone: {alone['error']['reason']}"


@attack("1024 boxes around an image of 46,656 windows", "a box took minutes: every window was held against every other")
def all_over(target: Target) -> str:
    side = 48 * 215 + 64
    boxes = [{"id": str(i), "box": [0, 0, side, side]} for i in range(1024)]
    error = cut(target, sparse(side), "a.tif", {"type": "prompted", "tile": WINDOW}, *boxes)["error"]
    assert error["reason"] == "IMAGE_TOO_LARGE" and "fewer prompts" in error["detail"], error
    target.works()
    return f"{error['reason']}: {error['detail']}"


@attack("64 boxes and as many rows of points, each over all windows of an image", "tile was unknown")
def many_wide(target: Target) -> str:
    boxes = [{"id": f"b{i}", "box": [0, 0, 300, 300]} for i in range(64)]
    rows = [{"id": f"p{i}", "points": [[x, x] for x in range(0, 300, 3)], "labels": [1] * 100} for i in range(64)]
    item = cut(target, picture(300, 300), "a.png", {"type": "prompted", "tile": WINDOW}, *boxes, *rows)
    assert item["state"] == "succeeded" and item["mask_count"] == 128, item
    return f"{item['mask_count']} masks"
