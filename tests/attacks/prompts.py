"""Attacks by boxes and masks in prompts."""

from typing import Any

from tests.attacks.attack import Target, attack, picture


def asked(target: Target, *prompts: dict[str, Any], **task: object) -> dict[str, Any]:
    uri = target.put(f"{target.prefix()}a.png", picture(64, 96))
    body = {"task": {"type": "prompted"} | task, "input": {"items": [{"image": uri, "prompts": list(prompts)}]}}
    answer = target.submit(body)
    assert answer.status_code == 202, answer.text
    job = target.done(answer.json()["id"])
    return target.item(job) | {"masks": target.masks(job)}


@attack("a box that sticks out by less than a pixel, beside a good prompt", "the whole item failed")
def sticking_out(target: Target) -> str:
    item = asked(
        target, {"id": "box", "box": [-0.3, 10, 96.6, 50]}, {"id": "point", "points": [[48, 32]], "labels": [1]}
    )
    assert item["state"] == "succeeded", item
    assert [(w["code"], w["prompt_id"]) for w in item["warnings"] if w["code"] != "EMPTY_MASK"] == [
        ("BOX_CLIPPED", "box")
    ], item
    return str(item["warnings"])


@attack("a box wholly outside beside a good one, then alone", "the whole item failed; '(300, 300) is outside 300x300'")
def outside(target: Target) -> str:
    wrong, good = {"id": "away", "box": [200, 200, 300, 300]}, {"id": "good", "box": [20, 10, 80, 50]}
    both, alone = asked(target, wrong, good), asked(target, wrong)
    assert both["state"] == "succeeded" and {m["prompt_id"] for m in both["masks"]} == {"good"}, both
    assert alone["state"] == "failed" and alone["error"]["reason"] == "PROMPT_OUT_OF_BOUNDS", alone
    assert "xyxy" in alone["error"]["detail"], alone
    return f"{both['warnings']}; alone: {alone['error']}"


@attack("a box given as x, y, width, height", "taken silently where it happened to be a valid corner pair")
def xywh(target: Target) -> str:
    corners = asked(target, {"id": "b", "box": [20, 10, 80, 50]})
    sizes = asked(target, {"id": "b", "box": [20, 10, 60, 40]}, box_format="xywh")
    assert corners["masks"] == sizes["masks"], (corners, sizes)
    return "box_format xywh gives the masks of the same corners"


@attack("a 1×1 image in automatic mode", "48 equal masks")
def one_pixel(target: Target) -> str:
    task = {"type": "auto", "pred_iou_thresh": 0, "stability_score_thresh": 0}
    answer = target.submit(
        {"task": task, "input": {"items": [{"image": target.put(f"{target.prefix()}a.png", picture(1, 1))}]}}
    )
    job = target.done(answer.json()["id"])
    masks = target.masks(job)
    assert job["state"] == "succeeded" and len(masks) <= 1 and all(m["area"] for m in masks), masks
    return f"{len(masks)} mask"
