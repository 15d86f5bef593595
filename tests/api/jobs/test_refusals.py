"""Bodies that are refused: the status, the reason, and a pointer to the field."""

import copy
import io
import json
from typing import Any

import pyarrow.parquet as pq
import pytest
from sqlalchemy import select

from db.ids import read_job_id
from db.states import ItemReason
from db.tables import items
from exports.table import FORMATS
from tests.api.conftest import Service, body, failure_row, result_row, serving, settings, some_masks

pytestmark = pytest.mark.anyio
IMAGE = "s3://bucket/a.jpg"
REFUSED = failure_row(ItemReason.ACCESS_DENIED)
POINT = {"points": [[1, 2]], "labels": [1]}
LONG = {"points": [[1234.567, 1234.567]] * 256, "labels": [1] * 256}
CAT = {"phrase": "cat", "box": [1, 2, 3, 4]}
TEXT = {"type": "text", "phrases": ["cat"]}
XYWH = {"type": "prompted", "box_format": "xywh"}


def auto(**task: Any) -> dict[str, Any]:
    return {**body(1), "task": {"type": "auto", **task}}


def with_item(**item: Any) -> dict[str, Any]:
    return {"task": {"type": "auto"}, "input": {"items": [{"image": IMAGE}, {"image": IMAGE, **item}]}}


def prompted(*prompts: Any) -> dict[str, Any]:
    items = [{"image": IMAGE, "prompts": [POINT]}, {"image": IMAGE, "prompts": list(prompts)}]
    return {"task": {"type": "prompted"}, "input": {"items": items}}


def text(phrases: Any, *exemplars: Any, **task: Any) -> dict[str, Any]:
    items = [{"image": IMAGE}, {"image": IMAGE, "exemplars": list(exemplars)}]
    return {"task": {"type": "text", "phrases": phrases, **task}, "input": {"items": items}}


def prompted_prefix(**given: Any) -> dict[str, Any]:
    return {"task": {"type": "prompted"}, "input": {"prefix": "s3://bucket/p/", **given}}


def with_input(**given: Any) -> dict[str, Any]:
    return {"task": {"type": "auto"}, "input": given}


MALFORMED: list[tuple[str, dict[str, Any], str]] = [
    ("no task", {"input": body(1)["input"]}, "/task"),
    ("no input", {"task": {"type": "auto"}}, "/input"),
    ("unknown field", {**body(1), "colour": 1}, "/colour"),
    ("unknown task", {**body(1), "task": {"type": "paint"}}, "/task/type"),
    ("task without type", {**body(1), "task": {}}, "/task/type"),
    ("task of another kind", {**body(1), "task": 3}, "/task"),
    ("parameter out of range", auto(points_per_side=0), "/task/points_per_side"),
    ("parameter as text", auto(points_per_side="32"), "/task/points_per_side"),
    ("unknown parameter", auto(points=3), "/task/points"),
    ("threshold over 1", auto(pred_iou_thresh=1.5), "/task/pred_iou_thresh"),
    ("prompts in the task", {**body(1), "task": {"type": "prompted", "prompts": [POINT]}}, "/task/prompts"),
    ("no phrase", text([]), "/task/phrases"),
    ("a blank phrase", text(["cat", " "]), "/task/phrases/1"),
    ("a phrase with a line break", text(["a\ncat"]), "/task/phrases/0"),
    ("a phrase twice", text(["Cat", "cat "]), "/task/phrases"),
    ("257 phrases", text([str(i) for i in range(257)]), "/task/phrases"),
    ("a long phrase", text(["x" * 257]), "/task/phrases/0"),
    ("a threshold of text over 1", text(["cat"], box_threshold=1.1), "/task/box_threshold"),
    ("exemplars in the task", text(["cat"], exemplars=[]), "/task/exemplars"),
    ("an exemplar of no phrase", text(["cat"], {**CAT, "phrase": "dog"}), "/input/items/1/exemplars/0/phrase"),
    ("an exemplar's box", text(["cat"], {**CAT, "box": [3, 2, 1, 4]}), "/input/items/1/exemplars/0/box"),
    ("an exemplar's label", text(["cat"], {**CAT, "label": 2}), "/input/items/1/exemplars/0/label"),
    ("exemplars in an automatic job", with_item(exemplars=[CAT]), "/input/items/1/exemplars"),
    ("prompts in a text job", {**with_item(prompts=[POINT]), "task": TEXT}, "/input/items/1/prompts"),
    ("shared prompts in a text job", {**prompted_prefix(prompts=[POINT]), "task": TEXT}, "/input/prompts"),
    ("priority 10", {**body(1), "priority": 10}, "/priority"),
    ("ratio 2", {**body(1), "max_failure_ratio": 2}, "/max_failure_ratio"),
    ("precision", {**body(1), "precision": "double"}, "/precision"),
    ("past deadline", {**body(1), "deadline": "2001-01-01T00:00:00Z"}, "/deadline"),
    ("deadline without a zone", {**body(1), "deadline": "2090-01-01T00:00:00"}, "/deadline"),
    ("label that is no text", {**body(1), "labels": {"run": 7}}, "/labels/run"),
    ("control character in a name", {**body(1), "name": "a\u0007b"}, "/name"),
    ("nul in a name", {**body(1), "name": "a\0b"}, "/name"),
    ("no items", with_input(items=[]), "/input/items"),
    ("neither items nor prefix", with_input(), "/input"),
    ("items and prefix", with_input(items=[{"image": IMAGE}], prefix="s3://bucket/"), "/input"),
    ("glob with items", with_input(items=[{"image": IMAGE}], glob="*"), "/input/glob"),
    ("glob with a backward range", with_input(prefix="s3://bucket/odd/", glob="[z-a].jpg"), "/input/glob"),
    ("glob with an empty class", with_input(prefix="s3://bucket/odd/", glob="[!]"), "/input/glob"),
    ("glob with a class left open", with_input(prefix="s3://bucket/odd/", glob="**[a-z"), "/input/glob"),
    ("glob with a brace left open", with_input(prefix="s3://bucket/odd/", glob="*.{jpg,png"), "/input/glob"),
    ("glob of 5,000 characters", with_input(prefix="s3://bucket/odd/", glob="*" * 5000), "/input/glob"),
    ("glob that is too complicated", with_input(prefix="s3://bucket/odd/", glob="?*" * 500), "/input/glob"),
    ("empty glob", with_input(prefix="s3://bucket/odd/", glob=""), "/input/glob"),
    ("prefix is no uri", with_input(prefix="bucket/p"), "/input/prefix"),
    ("prefix with a version", with_input(prefix="s3://bucket/p?versionId=1"), "/input/prefix"),
    ("prefix without a bucket", with_input(prefix="s3:///p"), "/input/prefix"),
    ("prompted prefix without prompts", prompted_prefix(), "/input/prompts"),
    ("prompted prefix with no prompt", prompted_prefix(prompts=[]), "/input/prompts"),
    ("prompted prefix, bad prompt", prompted_prefix(prompts=[POINT, {"points": [[1, 2]]}]), "/input/prompts/1/labels"),
    ("prompted prefix, box inside out", prompted_prefix(prompts=[{"box": [5, 5, 1, 1]}]), "/input/prompts/0/box"),
    ("prompted prefix, one id twice", prompted_prefix(prompts=[{**POINT, "id": "1"}, POINT]), "/input/prompts/1/id"),
    ("1,025 prompts for a prefix", prompted_prefix(prompts=[POINT] * 1025), "/input/prompts"),
    ("long prompts for a prefix", prompted_prefix(prompts=[LONG] * 60), "/input/prompts"),
    ("prompts for an automatic prefix", with_input(prefix="s3://bucket/p/", prompts=[POINT]), "/input/prompts"),
    ("empty prompts for an automatic prefix", with_input(prefix="s3://bucket/p/", prompts=[]), "/input/prompts"),
    ("empty prompts beside those of all", {
        "task": {"type": "prompted"}, "input": {"prompts": [POINT], "items": [{"image": IMAGE, "prompts": []}]}
    }, "/input/items/0/prompts"),
    ("item without image", with_input(items=[{"custom_id": "a"}]), "/input/items/0/image"),
    ("unknown field of an item", with_item(url="x"), "/input/items/1/url"),
    ("second of two equal custom_ids", with_item(custom_id="0"), "/input/items/1/custom_id"),
    ("empty custom_id", with_item(custom_id=""), "/input/items/1/custom_id"),
    ("control character in a custom_id", with_item(custom_id="a\nb"), "/input/items/1/custom_id"),
    ("prompts in an automatic job", with_item(prompts=[POINT]), "/input/items/1/prompts"),
    ("empty prompts in an automatic job", with_item(prompts=[]), "/input/items/1/prompts"),
    ("no prompts in a prompted job", {**body(1), "task": {"type": "prompted"}}, "/input/items/0/prompts"),
    ("empty prompts in a prompted job", prompted(), "/input/items/1/prompts"),
    ("empty prompt", prompted({}), "/input/items/1/prompts/0"),
    ("point of three numbers", prompted({"points": [[1, 2, 3]], "labels": [1]}), "/input/items/1/prompts/0/points/0"),
    ("point of text", prompted(POINT, {"points": [[1, "x"]], "labels": [1]}), "/input/items/1/prompts/1/points/0/1"),
    ("label 2", prompted({"points": [[1, 2]], "labels": [2]}), "/input/items/1/prompts/0/labels/0"),
    ("points without labels", prompted({"points": [[1, 2]]}), "/input/items/1/prompts/0/labels"),
    ("box of three", prompted({"box": [1, 2, 3]}), "/input/items/1/prompts/0/box/3"),
    ("box inside out", prompted({"box": [5, 5, 1, 1]}), "/input/items/1/prompts/0/box"),
    ("box of negative width", {**prompted({"box": [5, 5, -1, 1]}), "task": XYWH}, "/input/items/1/prompts/0/box"),
    ("unknown box format", {**prompted(POINT), "task": {"type": "prompted", "box_format": "yxyx"}}, "/task/box_format"),
    ("mask that is no RLE", prompted({"mask": {"size": [2, 2], "counts": "!!"}}), "/input/items/1/prompts/0/mask"),
    ("two prompts of one id", prompted({**POINT, "id": "1"}, POINT), "/input/items/1/prompts/1/id"),
    ("nul in a prompt id", prompted({**POINT, "id": "\0"}), "/input/items/1/prompts/0/id"),
    ("unknown field of a prompt", prompted({**POINT, "text": "cat"}), "/input/items/1/prompts/0/text"),
]  # fmt: skip


@pytest.mark.parametrize(("given", "pointer"), [c[1:] for c in MALFORMED], ids=[c[0] for c in MALFORMED])
async def test_a_malformed_body_is_pointed_into(service: Service, given: dict[str, Any], pointer: str) -> None:
    answer = await service.client.post("/v1/jobs", json=given)
    assert answer.status_code == 422, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert problem["reason"] == "INVALID_REQUEST"
    assert [e["pointer"] for e in problem["errors"]] == [pointer]
    assert problem["errors"][0]["detail"]
    assert problem["instance"] == "/v1/jobs" and problem["status"] == 422


async def test_a_refused_box_says_how_it_was_read(service: Service) -> None:
    """Ten wide and five high at (100, 40): no corner pair, and a box once the format is named."""
    given = prompted({"box": [100, 40, 10, 5]})
    (error,) = (await service.client.post("/v1/jobs", json=given)).json()["errors"]
    assert 'read as xyxy (corner pairs); set task.box_format to "xywh"' in error["detail"]
    answer = await service.client.post("/v1/jobs", json={**given, "task": XYWH})
    assert (answer.status_code, answer.json()["task"]) == (202, XYWH)


@pytest.mark.parametrize(
    "uri",
    [
        "a.jpg", "https://127.0.0.1/a.jpg", "https://[::1]/a.jpg", "https://u:p@images.example.com/a.jpg",
        "S3://bucket/a.jpg", "s3://bucket", "s3://bucket/", "s3:///a.jpg",
        "s3://Bucket/a.jpg", "s3://b/a.jpg", "s3://bu..cket/a.jpg", "s3://bucket//a.jpg", "s3://bucket/a//b.jpg",
        "s3://bucket/../a.jpg", "s3://bucket/a/..", "s3://bucket/a/./b.jpg", "s3://bucket/folder/",
        "s3://user:password@bucket/a.jpg", "s3://bucket:80/a.jpg", "s3://bucket/a\n.jpg", "s3://bucket/a\u2028.jpg",
        "s3://bucket/" + "a" * 1025, "", "s3://bucket/a.jpg?versionId=", "s3://bucket/a.jpg?versionId=1&x=2",
        "s3://bucket/a.jpg?versionId=1?versionId=2", "s3://bucket/?versionId=1",
    ],
)  # fmt: skip
async def test_an_image_is_strictly_an_object(service: Service, uri: str) -> None:
    answer = await service.client.post("/v1/jobs", json=with_input(items=[{"image": uri}]))
    assert answer.status_code == 422, uri
    assert [e["pointer"] for e in answer.json()["errors"]] == ["/input/items/0/image"]


@pytest.mark.parametrize(
    "uri",
    [
        "s3://bucket/a..jpg",
        "s3://my.bucket-1/ä ö/日本 %2F?x#y.jpg",
        "s3://bucket/" + "a" * 1024,
        "s3://bucket/a?versionId=x",
    ],
)
async def test_unusual_keys_are_keys(service: Service, uri: str) -> None:
    answer = await service.client.post("/v1/jobs", json=with_input(items=[{"image": uri}]))
    assert answer.status_code == 202, answer.text
    items = (await service.client.get(f"{answer.headers['location']}/items")).json()["items"]
    assert [i["image"] for i in items] == [uri]


@pytest.mark.parametrize(
    ("allowed", "uri"),
    [
        ((), "https://images.example.com/a.jpg"),
        (("images.example.com",), "https://other.example.com/a.jpg?X-Amz-Signature=5ec2e7"),
        (("*",), "https://images.example.com:8443/a.jpg"),
    ],
)
async def test_a_host_that_is_not_allowed(service: Service, allowed: tuple[str, ...], uri: str) -> None:
    given = with_input(items=[{"image": IMAGE}, {"image": uri}])
    async with serving(settings(service.database, https_images=allowed), service.key) as client:
        answer = await client.post("/v1/jobs", json=given)
        assert (answer.status_code, answer.json()["reason"]) == (422, "HOST_NOT_ALLOWED")
        (error,) = answer.json()["errors"]
        assert error["pointer"] == "/input/items/1/image" and "MASKWORKS_HTTPS_IMAGES" in error["detail"]
        assert "5ec2e7" not in answer.text
        dry = (await client.post("/v1/jobs", json={**given, "validate_only": True})).json()
        assert (dry["valid"], dry["counts"]["invalid"], dry["errors"]) == (False, 1, [error])


async def test_a_presigned_image_is_stored_whole_and_shown_without_its_signature(service: Service) -> None:
    uri = "https://images.example.com/p/a.jpg?id=1&X-Amz-Signature=5ec2e7"
    async with serving(settings(service.database, https_images=("*.example.com",)), service.key) as client:
        answer = await client.post("/v1/jobs", json=with_input(items=[{"image": uri}, {"image": uri}]))
        assert answer.status_code == 202, answer.text
        place = answer.headers["location"]
        listed = (await client.get(f"{place}/items")).json()["items"]
        assert [item["image"] for item in listed] == ["https://images.example.com/p/a.jpg?…"] * 2
        service.work(answer.json()["id"], lambda i: result_row(some_masks(1)) if i else REFUSED, 2)
        answers = [await client.get(f"{place}/results", params={"format": f}) for f in FORMATS]
        table = pq.read_table(io.BytesIO(answers[list(FORMATS).index("parquet")].content))  # text in it is compressed
        exports = [*(answer.text for answer in answers), str(table.to_pylist())]
    assert not [text for text in exports if "5ec2e7" in text or "id=1" in text]
    assert [json.loads(text)["images"][0]["file_name"] for text in exports if '"images"' in text] == ["p/a#1.jpg"]
    with service.engine.connect() as connection:
        stored = connection.execute(select(items.c.image).where(items.c.job_id == read_job_id(answer.json()["id"])))
        assert set(stored.scalars()) == {uri}


async def test_null_asks_for_nothing(service: Service) -> None:
    await service.submit(1, output=None, webhook=None, name=None, model=None)


async def test_an_unknown_model(service: Service) -> None:
    answer = await service.client.post("/v1/jobs", json={**body(1), "model": "sam_vit_z"})
    assert (answer.status_code, answer.json()["reason"]) == (422, "UNKNOWN_MODEL")
    assert [e["pointer"] for e in answer.json()["errors"]] == ["/model"]


@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b'"x"', b'{"a": NaN}', b'{"a": "\xff"}', b"[" * 100_000])
async def test_what_is_no_json_object(service: Service, content: bytes) -> None:
    answer = await service.client.post("/v1/jobs", content=content, headers={"Content-Type": "application/json"})
    assert (answer.status_code, answer.json()["reason"]) == (422, "INVALID_REQUEST")
    assert [e["pointer"] for e in answer.json()["errors"]] == [""]


@pytest.mark.parametrize(
    ("kind", "status", "reason"),
    [
        ("text/plain", 415, "UNSUPPORTED_MEDIA_TYPE"),
        ("", 415, "UNSUPPORTED_MEDIA_TYPE"),
    ],
)
async def test_other_content_types(service: Service, kind: str, status: int, reason: str) -> None:
    answer = await service.client.post("/v1/jobs", content=b"{}", headers={"Content-Type": kind})
    assert (answer.status_code, answer.json()["reason"]) == (status, reason)


@pytest.mark.parametrize("key", ["x" * 256, "a b", "\u00e4"])
async def test_an_unusable_idempotency_key(service: Service, key: str) -> None:
    headers = {"Idempotency-Key": key.encode("latin-1")}
    answer = await service.client.post("/v1/jobs", json=body(1), headers=headers)  # type: ignore[arg-type]
    assert (answer.status_code, answer.json()["reason"]) == (422, "INVALID_PARAMETER")


async def test_many_errors_are_cut_to_the_first(service: Service) -> None:
    given = copy.deepcopy(body(500))
    for item in given["input"]["items"]:
        item["image"] = "x"
    problem = (await service.client.post("/v1/jobs", json=given)).json()
    assert len(problem["errors"]) == 100 and "499 more" in problem["detail"]


async def test_a_refused_glob_says_what_to_write_instead(service: Service) -> None:
    given = with_input(prefix="s3://bucket/p/", glob="scan {[2026-01-05]}.jpg")
    (error,) = (await service.client.post("/v1/jobs", json=given)).json()["errors"]
    assert error == {
        "pointer": "/input/glob",
        "detail": "the range 6-0 runs backwards: write \\[ where a bracket itself is meant",
    }
    given["input"]["glob"] = "scan {"
    (error,) = (await service.client.post("/v1/jobs", json=given)).json()["errors"]
    assert error["detail"] == "a { is not closed: write \\{ for the brace itself"
