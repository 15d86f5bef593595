"""Bodies with Content-Encoding."""

import gzip
import json
import zlib
from typing import Any

import httpx
import pytest

from tests.api.conftest import body
from tests.api.http.shipped import MIB, PATIENCE, Server


def gzipped(api: Server, content: bytes, coding: str = "gzip") -> httpx.Response:
    headers = {
        "Authorization": f"Bearer {api.key}", "Content-Type": "application/json", "Content-Encoding": coding,
    }  # fmt: skip
    return httpx.post(f"{api.url}/v1/jobs", content=content, headers=headers, timeout=PATIENCE)


@pytest.mark.parametrize("coding", ["gzip", "GZIP", "x-gzip"])
def test_a_gzipped_body(api: Server, coding: str) -> None:
    answer = gzipped(api, gzip.compress(json.dumps(body(1000)).encode()), coding)
    assert (answer.status_code, answer.json()["counts"]["total"]) == (202, 1000)


def test_gzipped_and_plain_are_one_body(api: Server) -> None:
    """An Idempotency-Key holds over both: it is the content that counts."""
    plain = json.dumps(body(2)).encode()
    headers = {"Authorization": f"Bearer {api.key}", "Content-Type": "application/json", "Idempotency-Key": "both"}
    first = httpx.post(f"{api.url}/v1/jobs", content=plain, headers=headers)
    headers["Content-Encoding"] = "gzip"
    second = httpx.post(f"{api.url}/v1/jobs", content=gzip.compress(plain), headers=headers)
    assert first.status_code == second.status_code == 202 and first.json()["id"] == second.json()["id"]


def test_a_gzip_bomb_is_not_unpacked(api: Server) -> None:
    """Half a GiB, of which no more than the largest body is unpacked."""
    before = api.peak_mib()
    bomb = zlib.compressobj(9, wbits=31)
    content = b"".join(bomb.compress(b" " * MIB) for _ in range(512)) + bomb.flush()
    answer = gzipped(api, content)
    assert (answer.status_code, answer.json()["reason"]) == (413, "BODY_TOO_LARGE")
    assert api.peak_mib() < before + 80


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda whole: whole[:-1], "too early"),
        (lambda whole: whole[: len(whole) // 2], "too early"),
        (lambda _: b"", "too early"),
        (lambda whole: whole + b"x", "behind its gzip stream"),
        (lambda whole: whole + whole, "behind its gzip stream"),
        (lambda whole: whole[:-8] + b"\0" * 8, "not a gzip stream"),
        (lambda _: b"{}", "not a gzip stream"),
    ],
)
def test_a_gzip_stream_that_is_not_whole(api: Server, change: Any, text: str) -> None:
    answer = gzipped(api, change(gzip.compress(json.dumps(body(50)).encode())))
    assert (answer.status_code, answer.json()["reason"]) == (422, "INVALID_REQUEST")
    assert text in answer.json()["detail"]


@pytest.mark.parametrize("coding", ["br", "deflate", "zstd", "gzip, gzip", "identity, br", "compress", "x"])
def test_other_encodings(api: Server, coding: str) -> None:
    answer = gzipped(api, b"{}", coding)
    assert (answer.status_code, answer.json()["reason"]) == (415, "UNSUPPORTED_ENCODING")
    assert answer.headers["accept-encoding"] == "gzip"


def test_many_values_are_refused_before_they_take_memory(api: Server) -> None:
    before = api.peak_mib()
    answer = gzipped(api, gzip.compress(b'{"input":{"items":[' + b"{}," * (10 * MIB) + b"{}]}}"))
    assert (answer.status_code, answer.json()["reason"]) == (413, "BODY_TOO_LARGE")
    assert "JSON values" in answer.json()["detail"]
    assert api.peak_mib() < before + 110
