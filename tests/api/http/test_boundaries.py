"""Numbers, times, names and nesting at their bounds and one beyond: accepted or refused, never our error."""

import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Annotated, Any
from urllib.parse import quote
from uuid import UUID

import httpx
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter

from api.http.json_body import MAX_VALUES, parse_object
from api.http.numbers import NUMBER
from api.http.paging import next_token, read_id, read_index
from api.refusals import BodyTooLarge, InvalidBody
from db.statements import register
from intake.json_object import MAX_DEPTH, MAX_KEYS, n_values
from tests.api.conftest import Service, body
from tests.api.submits import EVERY_PLACE, STRANGE, refused, replaced

pytestmark = pytest.mark.anyio
LARGE = [0, 1, 2**31 - 2, 2**31 - 1, 2**31, 2**32, 2**63 - 1, 2**63, 10**80]
TOKENS = [f"{n:0{width}x}" for n in LARGE for width in (8, 32)]
TOKENS += ["", "=", "A", "AA", "A" * 128, "A" * 129, "MTI=", "4pyT", "LTE", "ä", "%00"]


async def no_fault(client: httpx.AsyncClient, path: str) -> httpx.Response:
    answer = await client.get(path)
    assert answer.status_code in (200, 304, 404, 422), (path, answer.text)
    return answer


@pytest.mark.parametrize("token", TOKENS)
async def test_page_tokens(service: Service, token: str) -> None:
    job = await service.submit(1)
    for path in ("/v1/jobs", f"/v1/jobs/{job['id']}/items", f"/v1/jobs/{job['id']}/items/0/masks"):
        for state in ("", "&state=pending") if path.endswith("s") and not path.endswith("masks") else ("",):
            await no_fault(service.client, f"{path}?page_token={quote(token, safe='%')}{state}")


@pytest.mark.parametrize("index", [*LARGE, -1, "01", "1.0", "1e3", "٣", "%00", "x" * 5000, " 1", "+1"])
async def test_item_ids(service: Service, index: object) -> None:
    job = await service.submit(1)
    for suffix in ("", "/masks"):
        answer = await no_fault(service.client, f"/v1/jobs/{job['id']}/items/{index}{suffix}")
        assert (answer.status_code == 200) == (index == 0)


@pytest.mark.parametrize(
    "value", ["0", "60", "60.0001", "-0.0", "-1", "1e400", "inf", "nan", "1_0", "0x1", "9" * 400, ""]
)
async def test_seconds_to_wait(service: Service, value: str) -> None:
    job = await service.submit(1)
    await service.client.post(f"/v1/jobs/{job['id']}:cancel")  # done: no wait takes its time
    await no_fault(service.client, f"/v1/jobs/{job['id']}?wait={value}")


@given(st.floats(0, 60))
@example(0.050765653629412114)
@settings(max_examples=200, deadline=None)
def test_every_float_as_python_writes_it_is_a_number(seconds: float) -> None:
    assert TypeAdapter(Annotated[float, NUMBER]).validate_python(repr(seconds)) == seconds


@pytest.mark.parametrize("value", [0, 1, 1000, 1001, -1, 2**31, 2**63, 10**30, "9" * 5000, "1.5"])
async def test_page_sizes(service: Service, value: object) -> None:
    answer = await no_fault(service.client, f"/v1/jobs?page_size={value}")
    assert (answer.status_code == 200) == (value in (1, 1000))


@pytest.mark.parametrize(
    "text", ["", "x" * 5000, "\U0001f600", "%ff", "%ed%a0%80", "%00", "'", '"', "\\", "a" * 63, "{}"]
)
async def test_label_filters(service: Service, text: str) -> None:
    for query in (f"label.{quote(text, safe='%')}=1", f"label.run={quote(text, safe='%')}"):
        await no_fault(service.client, f"/v1/jobs?{query}")


@pytest.mark.parametrize("job_id", ["job_" + "f" * 32, "job_" + "f" * 33, "%00", "x" * 5000, "job_%ff", "job_١"])
async def test_job_ids(service: Service, job_id: str) -> None:
    assert (await no_fault(service.client, f"/v1/jobs/{job_id}")).status_code == 404


@pytest.mark.parametrize("key", [b"", b"~", b"x" * 255, b"x" * 256, b"\x80", b"a b", b" x ", b"\t"])
async def test_idempotency_keys(service: Service, key: bytes) -> None:
    answer = await service.client.post("/v1/jobs", json=body(1), headers={b"Idempotency-Key": key})
    assert answer.status_code in (202, 422), answer.text


async def deadline_of(service: Service, text: str) -> tuple[int, str | None]:
    answer = await service.client.post("/v1/jobs", json={**body(1), "deadline": text})
    assert answer.status_code in (202, 422), (text, answer.text)
    if answer.status_code == 422:
        assert [e["pointer"] for e in answer.json()["errors"]] == ["/deadline"]
        return 422, None
    listed = (await service.client.get("/v1/jobs?page_size=1")).json()["jobs"]
    assert listed[0]["id"] == answer.json()["id"]
    return 202, listed[0]["deadline"]


@pytest.mark.parametrize(
    ("text", "status"),
    [
        ("9998-12-31T23:59:59Z", 202), ("9998-12-31T23:59:59.999999999-23:59", 202), ("9999-01-01T00:00:00Z", 422),
        ("9999-12-31T23:59:59-23:59", 422), ("9999-12-31T23:59:59+23:59", 422), ("0001-01-01T00:00:00+23:59", 422),
        ("0001-01-01T00:00:00-23:59", 422), ("0000-01-01T00:00:00Z", 422), ("10000-01-01T00:00:00Z", 422),
        ("2090-02-30T00:00:00Z", 422), ("2090-01-01T24:00:00Z", 422), ("2090-01-01T00:00:60Z", 422),
        ("2090-01-01T00:00:00+24:00", 422), ("2090-01-01 00:00:00z", 202), ("٢٠٩٠-01-01T00:00:00Z", 422),
        ("2090-01-01T00:00:00.Z", 422), ("", 422), ("9" * 5000, 422), ("2090-W01-1T00:00:00Z", 422),
    ],
)  # fmt: skip
async def test_deadlines(service: Service, text: str, status: int) -> None:
    assert (await deadline_of(service, text))[0] == status


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.datetimes(min_value=datetime(2030, 1, 1), max_value=datetime(9998, 12, 31, 23, 59, 59)),
    st.integers(-23 * 60 - 59, 23 * 60 + 59),
)
async def test_any_deadline_comes_back_as_the_same_moment(service: Service, at: datetime, minutes: int) -> None:
    given = at.replace(tzinfo=timezone(timedelta(minutes=minutes)))
    status, shown = await deadline_of(service, given.isoformat())
    assert status == 202 and shown is not None
    assert datetime.fromisoformat(shown) == given.astimezone(UTC)


NESTED = [(n, opening, closing) for n in (1, 60, 100, 253, 255, 990, 1023, 1025, 100_000)
          for opening, closing in ((b"[", b"]"), (b'{"a":', b"}"), (b'[{"a":', b"}]"))]  # fmt: skip


@pytest.mark.parametrize("nul", [b"", b"\\u0000"], ids=["plain", "nul"])
@pytest.mark.parametrize(("n", "opening", "closing"), NESTED, ids=[f"{n}{o.decode()}" for n, o, _ in NESTED])
async def test_nesting(service: Service, n: int, opening: bytes, closing: bytes, nul: bytes) -> None:
    nested = opening * n + b'"' + nul + b'"' + closing * n
    bodies = (
        b'{"task":{"type":"auto"},"input":' + nested + b"}",
        b'{"validate_only":true,"task":{"type":"auto"},"input":{"items":[{"image":' + nested + b"}]}}",
        b'{"output":' + nested + b"}",
        nested,
    )
    for content in bodies:
        answer = await service.client.post("/v1/jobs", content=content, headers={"Content-Type": "application/json"})
        assert answer.status_code in (200, 422), answer.text
        assert answer.status_code == 422 or answer.json()["valid"] is False


def test_the_depth_that_is_taken() -> None:
    def nested(n: int) -> bytes:
        return b'{"a":' + b"[" * (n - 1) + b"]" * (n - 1) + b"}"

    parse_object(nested(MAX_DEPTH))
    with pytest.raises(InvalidBody, match="nested"):
        parse_object(nested(MAX_DEPTH + 1))


def test_the_fields_that_are_taken() -> None:
    parse_object(json.dumps({"a": {str(i): 0 for i in range(MAX_KEYS)}}).encode())
    with pytest.raises(InvalidBody, match=f"more than {MAX_KEYS} fields"):
        parse_object(json.dumps({"a": [{str(i): 0 for i in range(MAX_KEYS + 1)}]}).encode())


def test_the_number_of_values_is_bounded() -> None:
    with pytest.raises(BodyTooLarge, match=f"{MAX_VALUES} JSON values"):
        parse_object(b'{"a":[' + b"{}," * MAX_VALUES + b"{}]}")


def count(value: Any) -> int:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return 1 + sum(count(v) for v in inner)


json_values = st.recursive(
    st.none() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=5), inner, max_size=5),
    max_leaves=40,
)


@given(json_values)
def test_values_are_never_undercounted(value: Any) -> None:
    assert n_values(json.dumps(value).encode()) >= count(value)


@given(st.dictionaries(st.text(), json_values))
def test_a_nul_is_found_wherever_it_is(given_object: dict[str, Any]) -> None:
    text = json.dumps(given_object)
    if "\\u0000" in text and "\0" in str_of(given_object):
        with pytest.raises(InvalidBody, match="control characters"):
            parse_object(text.encode())
    else:
        assert parse_object(text.encode()) == json.loads(text, parse_int=_as_orjson)


def _as_orjson(digits: str) -> int | float:
    return int(digits) if -(2**63) <= int(digits) < 2**64 else float(digits)


def str_of(value: Any) -> str:
    """All texts of a value in one."""
    if isinstance(value, dict):
        return "".join(str_of(k) + str_of(v) for k, v in value.items())
    return "".join(map(str_of, value)) if isinstance(value, list) else value if isinstance(value, str) else ""


@given(st.integers(0, 2**31 - 1))
def test_every_index_has_a_token(index: int) -> None:
    assert read_index(next_token([None], 1, index)) == index


@given(st.uuids())
def test_every_job_has_a_token(job_id: UUID) -> None:
    assert read_id(next_token([None], 1, job_id)) == job_id


async def test_what_is_accepted_can_be_stored_and_read(service: Service) -> None:
    """Every strange value in every place where the front door takes it. A worker serves every type of task."""
    tasks = ["auto", "prompted", "text", "text_exemplars"]
    row = register.Registration("w", "sam_tiny", "r1", "cpu", "exact", 2, tasks)
    with service.engine.begin() as connection:
        connection.execute(*register.sign([row]))
    n_accepted = 0
    for strange in STRANGE:
        for whole, at in EVERY_PLACE:
            given_body = replaced(whole, at, strange)
            if refused(given_body):
                continue
            content, kind = json.dumps(given_body), {"Content-Type": "application/json"}
            answer = await service.client.post("/v1/jobs", content=content, headers=kind)
            assert answer.status_code in (200, 202), (given_body, answer.text)
            if answer.status_code == 202:
                n_accepted += 1
                assert (await service.client.get(f"{answer.headers['location']}/items")).status_code == 200
    assert n_accepted > 100
