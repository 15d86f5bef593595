"""Attacks by annotations."""

from typing import Any

from tests.attacks.attack import Target, attack, problem
from tests.attacks.tenants import new_client

_MASK = {"size": [2, 2], "counts": "04"}


def _body(target: Target, **more: Any) -> dict[str, Any]:
    made = {"image": f"s3://{target.stack.bucket}/a.jpg", "segmentation": _MASK, "stage": "assisted", "annotator": "a"}
    return {"annotations": [{**made, **more}]}


@attack("run lengths that overflow, decode to gigabytes, or do not fit their size", "not built: no such route")
def run_lengths(target: Target) -> str:
    sizes: list[tuple[list[int], str]] = [
        ([2, 2], "oooooooooooO" * 16 + "04"),
        ([1_000_000, 1_000_000], "04"),
        ([2, 2], "0" * 200_000),
        ([2, 2], "\x7f\x00"),
        ([-2, -2], "04"),
        ([2, 2, 2], "04"),
    ]
    said = ""
    for size, counts in sizes:
        sent = _body(target, segmentation={"size": size, "counts": counts})
        said = problem(target.http.post("/v1/annotations", json=sent), 422)
        assert "segmentation" in said, (size, said)
    return f"{len(sizes)} masks, each 422: {said}"


@attack(
    "another tenant's annotation is replaced or deleted by its id or by a filter, and its job named as a source",
    "not built: no such route",
)
def foreign_annotations(target: Target) -> str:
    own, job = "ab" * 16, target.items(f"s3://{target.stack.bucket}/nothing.jpg")["id"]
    assert target.http.post("/v1/annotations", json=_body(target, id=own)).status_code == 201
    with new_client(target, "annotator") as http:
        problem(http.delete(f"/v1/annotations/{own}"), 404)
        http.post("/v1/annotations", json=_body(target, id=own, state="rejected")).raise_for_status()
        source = {"job_id": job, "item_index": 0, "mask_id": 0}
        said = problem(http.post("/v1/annotations", json=_body(target, source=source)), 422)
        assert len(http.get("/v1/annotations").json()["annotations"]) == 1
        assert http.delete("/v1/annotations?all=true").json()["deleted"] == 1
    (mine,) = target.http.get("/v1/annotations").json()["annotations"]
    assert mine["state"] == "accepted", mine
    return said


@attack("a filter of a deletion is forgotten, empty, misspelt or not text", "not built: no such route")
def careless_deletions(target: Target) -> str:
    own = "cd" * 16
    assert target.http.post("/v1/annotations", json=_body(target, id=own)).status_code == 201
    queries = (
        "",
        "?all=",
        "?all=false",
        "?image_prefix=",
        "?image_prefix=%00",
        "?prefix=s3://",
        "?state=open",
        "?al=true",
    )
    for query in queries:
        said = problem(target.http.delete(f"/v1/annotations{query}"), 422)
    problem(target.http.delete("/v1/annotations/" + "%27%20OR%20true--"), 404)
    assert own in {one["id"] for one in target.http.get("/v1/annotations").json()["annotations"]}
    return f"{len(queries)} deletions, each 422: {said}"
