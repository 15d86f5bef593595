"""Bodies of JSON lines: what is stored, what is refused and where, and that nothing is stored of half a body."""

import gzip
import json
from collections.abc import AsyncIterator, Sequence
from typing import Any

import httpx
import pytest
from sqlalchemy import func, select

from db.ids import read_job_id
from db.tables import items, jobs
from tests.api.conftest import Service, serving, settings

pytestmark = pytest.mark.anyio
LINES = {"Content-Type": "application/x-ndjson"}
AUTO = {"task": {"type": "auto"}}
PROMPTS = [{"id": "cup", "points": [[5, 3.5]], "labels": [1]}]


def image(i: int, **more: object) -> dict[str, object]:
    return {"image": f"s3://bucket/{i}.jpg"} | more


def text(*lines: object) -> bytes:
    return b"".join((line if isinstance(line, bytes) else json.dumps(line).encode()) + b"\n" for line in lines)


async def send(client: httpx.AsyncClient, *lines: object, **headers: str) -> httpx.Response:
    return await client.post("/v1/jobs", content=text(*lines), headers=LINES | headers)


def stored(service: Service, job_id: str) -> Sequence[Any]:
    columns = (items.c.index, items.c.custom_id, items.c.image, items.c.prompts)
    with service.engine.connect() as connection:
        of_job = select(*columns).where(items.c.job_id == read_job_id(job_id)).order_by(items.c.index)
        return [tuple(row) for row in connection.execute(of_job)]


def n_jobs(service: Service) -> int:
    with service.engine.connect() as connection:
        of_tenant = select(func.count()).select_from(jobs).where(jobs.c.tenant_id == service.tenant)
        return int(connection.execute(of_tenant).scalar_one())


async def test_lines_are_stored_like_items(service: Service) -> None:
    job = {"task": {"type": "prompted"}, "name": "tiles", "input": {"depth": "percentiles"}}
    answer = await send(service.client, job, image(0, custom_id='a\\b"ä', prompts=PROMPTS), image(1, prompts=PROMPTS))
    assert answer.status_code == 202, answer.text
    shown = answer.json()
    assert answer.headers["location"] == f"/v1/jobs/{shown['id']}" and shown["state"] == "pending"
    assert (shown["name"], shown["input"], shown["counts"]["total"]) == (
        "tiles",
        {"items": 2, "depth": "percentiles"},
        2,
    )
    expected = [(0, 'a\\b"ä', "s3://bucket/0.jpg", PROMPTS), (1, "1", "s3://bucket/1.jpg", PROMPTS)]
    assert stored(service, shown["id"]) == expected
    assert service.claim(shown["id"]).fence == 1


async def test_more_items_than_a_body_of_json_may_hold_in_pieces_of_any_size(
    service: Service, module_database: str
) -> None:
    content = text(AUTO, *(image(i, custom_id=f"id {i}") for i in range(3000)))

    async def pieces() -> AsyncIterator[bytes]:
        for i in range(0, len(content), 777):
            yield content[i : i + 777]

    async with serving(settings(module_database, max_items_inline=10), service.key) as client:
        answer = await client.post("/v1/jobs", content=pieces(), headers=LINES)
    assert answer.json()["counts"]["total"] == 3000
    assert [row[1] for row in stored(service, answer.json()["id"])] == [f"id {i}" for i in range(3000)]


async def test_blank_lines_breaks_and_gzip(service: Service) -> None:
    content = b"\xef\xbb\xbf" + b"\r\n\r\n".join(json.dumps(line).encode() for line in (AUTO, image(0), image(1)))
    headers = {"Content-Type": "application/jsonl; charset=utf-8", "Content-Encoding": "gzip"}
    answer = await service.client.post("/v1/jobs", content=gzip.compress(content), headers=headers)
    assert answer.status_code == 202 and answer.json()["counts"]["total"] == 2


async def test_an_idempotency_key_compares_the_unpacked_body(service: Service) -> None:
    key, lines = {"Idempotency-Key": "k"}, (AUTO, image(0))
    first = await send(service.client, *lines, **key)
    packed = await service.client.post(
        "/v1/jobs", content=gzip.compress(text(*lines)), headers=LINES | key | {"Content-Encoding": "gzip"}
    )
    assert (first.status_code, packed.status_code) == (202, 202) and first.json()["id"] == packed.json()["id"]
    other = await send(service.client, *lines, image(1), **key)
    assert (other.status_code, other.json()["reason"]) == (422, "IDEMPOTENCY_KEY_REUSED")
    assert n_jobs(service) == 1


BAD: list[tuple[Sequence[object], str, str]] = [
    ((), "", "the first line is missing"),
    ((b"",), "", "the first line is missing"),
    ((b"{",), "", "line 1: not valid JSON"),
    ((b"[]",), "", "line 1: must be a JSON object"),
    ((b'{"a":' * 100 + b"1" + b"}" * 100,), "", "line 1: is nested deeper than 64 levels"),
    ((b" " * 5000,), "", "the first line is longer than 4096 bytes"),
    ((AUTO,), "/input/items", "must not be empty"),
    (({"task": {"type": "all"}}, image(0)), "/task/type", "must be one of 'auto', 'prompted', 'text'"),
    (({**AUTO, "model": "other"}, image(0)), "/model", "unknown model"),
    (({**AUTO, "input": []}, image(0)), "/input", "must be a JSON object or absent"),
    (({**AUTO, "input": {"prefix": "s3://bucket/p/"}}, image(0)), "/input/prefix", "must be absent"),
    (({**AUTO, "input": {"items": [image(0)]}}, image(1)), "/input/items", "must be absent"),
    ((AUTO, image(0), b"{"), "/input/items/1", "line 3: not valid JSON"),
    ((AUTO, b"", image(0), {"image": "ftp://x"}), "/input/items/1/image", "line 4: must begin with s3://"),
    ((AUTO, text(image(0)).strip() + b"," + text(image(1)).strip()), "/input/items/0", "line 2: not valid JSON"),
    ((AUTO, image(0), image(1, custom_id="x\0")), "/input/items/1", "line 3: /custom_id: must not contain control"),
    ((AUTO, image(0, custom_id="../x\n")), "/input/items/0/custom_id", "line 2: must not contain control characters"),
    ((AUTO, {"image": "s3://bucket/../../etc"}), "/input/items/0/image", "line 2: must have a key without"),
    ((AUTO, image(0, prompts=PROMPTS)), "/input/items/0/prompts", "line 2: an item of an automatic job takes no"),
    (({"task": {"type": "prompted"}}, image(0)), "/input/items/0/prompts", "line 2: an item of a prompted job needs"),
    ((AUTO, image(0, custom_id="x"), image(1), image(2, custom_id="x")), "/input/items/2/custom_id", "line 4: 'x' is"),
    ((AUTO, image(0, custom_id="1"), image(1)), "/input/items/1/custom_id", "line 3: '1' is the id of an earlier item"),
    ((AUTO, image(0), {"image": "s3://bucket/" + "a" * 5000}), "/input/items/1", "line 3: is longer than 4096 bytes"),
    ((AUTO, {"image": "s3://elsewhere/a"}), "/input/items/0/image", "line 2: the bucket 'elsewhere' is not"),
    ((AUTO, image(0), b"\n" * 1100), "", "has too many blank lines"),
    ((AUTO, {"image": "https://elsewhere/a"}), "/input/items/0/image", "line 2: https images are not read here"),
    ((AUTO, *(image(i) for i in range(11))), "/input/items", "a body takes at most 10 items"),
]  # fmt: skip


@pytest.mark.parametrize(("lines", "pointer", "detail"), BAD, ids=range(len(BAD)))
async def test_a_bad_line_refuses_the_body_and_says_where(
    service: Service, module_database: str, lines: Sequence[object], pointer: str, detail: str
) -> None:
    narrow = settings(module_database, max_line_bytes=4096, max_items_streamed=10, buckets=("bucket",))
    async with serving(narrow, service.key) as client:
        answer = await send(client, *lines)
    assert answer.status_code == 422, answer.text
    (error,) = answer.json()["errors"]
    assert error["pointer"] == pointer and error["detail"].startswith(detail), error
    assert n_jobs(service) == 0


async def test_all_bad_lines_are_counted_and_the_first_shown(service: Service) -> None:
    answer = await send(service.client, AUTO, *(image(i) if i % 3 == 0 else {} for i in range(900)))
    errors = answer.json()["errors"]
    assert len(errors) == 100 and errors[0] == {"pointer": "/input/items/1/image", "detail": "line 3: is missing"}
    assert "599 more" in answer.json()["detail"]


async def test_validate_only_counts_and_stores_nothing(service: Service) -> None:
    job = {**AUTO, "validate_only": True}
    good = await send(service.client, job, image(0), image(1))
    assert (good.status_code, good.json()["valid"], good.json()["counts"]) == (200, True, {"total": 2, "invalid": 0})
    bad = await send(service.client, job, image(0), {}, b"{", image(3))
    assert (bad.json()["valid"], bad.json()["counts"]) == (False, {"total": 4, "invalid": 2})
    twice = await send(service.client, job, image(0, custom_id="a"), image(1, custom_id="a"))
    assert (twice.json()["valid"], twice.json()["counts"]) == (False, {"total": 2, "invalid": 1})
    both = await send(service.client, job, image(0, custom_id="a"), {}, image(2, custom_id="a"))
    assert (both.json()["valid"], both.json()["counts"]) == (False, {"total": 3, "invalid": 2})
    assert n_jobs(service) == 0


async def test_limits_of_size_and_of_room(service: Service, module_database: str) -> None:
    lines = (AUTO, *(image(i) for i in range(200)))
    async with serving(settings(module_database, max_stream_bytes=2048), service.key) as client:
        answer = await send(client, *lines)
        assert (answer.status_code, answer.json()["reason"]) == (413, "BODY_TOO_LARGE")
        bomb = await client.post(
            "/v1/jobs", content=gzip.compress(b" " * 3_000_000), headers=LINES | {"Content-Encoding": "gzip"}
        )
        assert (bomb.status_code, bomb.json()["reason"]) == (413, "BODY_TOO_LARGE")
        small = await send(client, AUTO, image(0))
        assert small.status_code == 202, "what a refused body took is given back"
    assert n_jobs(service) == 1


async def test_open_items_are_limited(service: Service, module_database: str) -> None:
    async with serving(settings(module_database, max_open_items=5), service.key) as client:
        answer = await send(client, AUTO, *(image(i) for i in range(6)))
    assert (answer.status_code, answer.json()["reason"]) == (429, "TOO_MANY_OPEN_ITEMS")
    assert n_jobs(service) == 0


async def test_a_manifest_is_named_and_not_read(service: Service, module_database: str) -> None:
    given = {**AUTO, "input": {"manifest": "s3://bucket/m.csv.gz?versionId=7"}}
    answer = await service.client.post("/v1/jobs", json=given)
    assert answer.status_code == 202
    assert (answer.json()["state"], answer.json()["input"]) == ("ingesting", given["input"])
    checked = await service.client.post("/v1/jobs", json={**given, "validate_only": True})
    assert checked.json() == {"valid": True, "counts": {"total": None, "invalid": 0}, "errors": []}
    prompted = await service.client.post("/v1/jobs", json={**given, "task": {"type": "prompted"}})
    assert prompted.status_code == 202, "the lines bring their prompts"
    async with serving(settings(module_database, buckets=("other",)), service.key) as client:
        refused = await client.post("/v1/jobs", json=given)
    assert (refused.json()["reason"], refused.json()["errors"][0]["pointer"]) == (
        "BUCKET_NOT_ALLOWED",
        "/input/manifest",
    )


@pytest.mark.parametrize(
    "uri",
    ["s3://bucket/m.txt", "s3://bucket/m.gz", "s3://bucket/", "s3://bucket", "http://x/m.csv", "s3://bucket/../m.csv",
     "s3://bucket//m.csv", "s3://user@bucket/m.csv", "s3://bucket/a\nm.csv", "file:///etc/m.csv", "s3://bucket/m.csv/",
     7, {}],
    ids=str,
)  # fmt: skip
async def test_a_manifest_is_strictly_an_object(service: Service, uri: object) -> None:
    answer = await service.client.post("/v1/jobs", json={**AUTO, "input": {"manifest": uri}})
    assert answer.status_code == 422
    assert [error["pointer"] for error in answer.json()["errors"]] == ["/input/manifest"]
