"""Downloads in pages, each a whole file, and downloads compressed by gzip."""

import io
from itertools import chain
from typing import Any

import orjson
import pyarrow.parquet as pq
import pytest

from db.states import ItemReason
from tests.api.conftest import Service, failure_row, result_row, some_masks

pytestmark = pytest.mark.anyio
N, PAGE = 10, 4


@pytest.fixture
async def job(service: Service) -> str:
    job: str = (await service.submit(N))["id"]
    rows = [result_row(some_masks(index % 3 + 1)) for index in range(N)]
    rows[5] = failure_row(ItemReason.OBJECT_NOT_FOUND)
    service.work(job, lambda index: rows[index], N)
    return job


async def pages(service: Service, job: str, format: str) -> list[bytes]:
    found, token = [], "00000000"
    while token:
        query: dict[str, str | int] = {"format": format, "page_size": PAGE, "page_token": token}
        answer = await service.client.get(f"/v1/jobs/{job}/results", params=query)
        assert answer.status_code == 200, answer.text
        found.append(answer.content)
        token = answer.headers.get("x-next-page-token", "")
    return found


async def whole(service: Service, job: str, format: str) -> bytes:
    answer = await service.client.get(f"/v1/jobs/{job}/results", params={"format": format})
    assert "x-next-page-token" not in answer.headers
    return answer.content


async def test_pages_of_lines_are_the_lines_of_the_whole(service: Service, job: str) -> None:
    parts = [part.splitlines() for part in await pages(service, job, "jsonl")]
    lines = (await whole(service, job, "jsonl")).splitlines()
    assert [len(part) - 1 for part in parts] == [4, 4, 2]
    assert list(chain.from_iterable(part[:-1] for part in parts)) == lines[:-1]
    assert {part[-1] for part in parts} == {lines[-1]}  # about the job


@pytest.mark.parametrize("format", ["coco", "geojson"])
async def test_each_page_is_a_file_of_its_own(service: Service, job: str, format: str) -> None:
    many = {"coco": ("images", "annotations", "failed_items"), "geojson": ("features",)}[format]
    parts: list[Any] = [orjson.loads(part) for part in await pages(service, job, format)]
    document = orjson.loads(await whole(service, job, format))
    assert len(parts) == 3
    for name in many:
        assert [without_id(e) for part in parts for e in part[name]] == [without_id(e) for e in document[name]]


def without_id(entry: dict[str, Any]) -> dict[str, Any]:
    """The ids of COCO's annotations count from 1 in each file."""
    return {key: value for key, value in entry.items() if key != "id" or "file_name" in entry}


async def test_a_folder_of_tables_is_the_table(service: Service, job: str) -> None:
    rows = [row for part in await pages(service, job, "parquet") for row in pq.read_table(io.BytesIO(part)).to_pylist()]
    assert rows == pq.read_table(io.BytesIO(await whole(service, job, "parquet"))).to_pylist()


async def test_a_page_of_a_job_in_progress(service: Service) -> None:
    job = (await service.submit(N))["id"]
    answer = await service.client.get(f"/v1/jobs/{job}/results?page_size={PAGE}")
    assert answer.headers["x-next-page-token"] == "00000004"
    last = await service.client.get(f"/v1/jobs/{job}/results?page_size={PAGE}&page_token=00000008")
    assert "x-next-page-token" not in last.headers
    assert [len(a.content.splitlines()) for a in (answer, last)] == [1, 1]


@pytest.mark.parametrize(
    ("query", "parameter"),
    [("page_size=0", "page_size"), ("page_size=1000001", "page_size"), ("page_token=4", "page_token")],
)
async def test_a_bad_page_is_refused(service: Service, job: str, query: str, parameter: str) -> None:
    answer = await service.client.get(f"/v1/jobs/{job}/results?{query}")
    assert answer.status_code == 422
    assert [error["pointer"] for error in answer.json()["errors"]] == [f"/{parameter}"]


async def test_gzip_where_it_is_accepted(service: Service, job: str) -> None:
    path = f"/v1/jobs/{job}/results"
    plain = await service.client.get(path, headers={"Accept-Encoding": "identity"})
    assert "content-encoding" not in plain.headers and plain.headers["vary"] == "Accept-Encoding"
    packed = await service.client.get(path, headers={"Accept-Encoding": "gzip"})
    assert packed.headers["content-encoding"] == "gzip" and packed.content == plain.content
    assert packed.num_bytes_downloaded < len(plain.content) / 2
    table = await service.client.get(f"{path}?format=parquet", headers={"Accept-Encoding": "gzip"})
    assert "content-encoding" not in table.headers
