"""What every answer has whatever its route: headers, methods, parameters, and what comes after an error of ours."""

import re
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from tests.api.conftest import Service, body, serving, settings
from tests.api.processes import served

pytestmark = pytest.mark.anyio
SHARED = {"x-content-type-options": "nosniff", "referrer-policy": "no-referrer"}
NO_JOB = "job_" + "0" * 32


async def operations(service: Service) -> list[tuple[str, str]]:
    """(method, path) of every operation of the document, with identities filled in."""
    paths: dict[str, dict[str, Any]] = (await service.client.get("/openapi.json")).json()["paths"]
    names = {"job_id": NO_JOB, "item_id": "0"}
    filled = {path: re.sub(r"\{(\w+)\}", lambda name: names.get(name[1], "0" * 32), path) for path in paths}
    found = [(method.upper(), filled[path]) for path, methods in paths.items() for method in methods]
    assert len(found) >= 12
    return found


async def test_every_answer_has_the_strictest_policy(service: Service) -> None:
    answers = [await service.client.request(method, path) for method, path in await operations(service)]
    answers += [await service.client.get("/nothing"), await service.client.post("/healthz")]
    async with serving(settings(service.database)) as stranger:
        answers.append(await stranger.get("/v1/jobs"))
    assert {a.status_code for a in answers} >= {200, 401, 404, 405}
    for answer in answers:
        assert answer.headers["content-security-policy"] == "default-src 'none'; frame-ancestors 'none'"
        assert answer.headers.items() >= SHARED.items()


async def test_unknown_parameters_are_refused_on_every_route(service: Service) -> None:
    pages = [("GET", path) for path in ("/", "/docs", "/openapi.json", "/static/docs.js")]
    for method, path in [*await operations(service), *pages]:
        answer = await service.client.request(method, path, params={"pageSize": "2"})
        assert (answer.status_code, answer.json()["reason"]) == (422, "INVALID_PARAMETER"), path
        assert answer.json()["errors"][0]["pointer"] == "/pageSize"


@pytest.mark.parametrize(
    ("query", "named"),
    [
        ("labels.run=7", "labels.run"),
        ("label=7", "label"),
        ("label.=7", "label."),
        ("label.my%20key=7", "label.my key"),
        ("State=running", "State"),
        ("page_size=2&page_size=3", "page_size"),
        ("label.run=7&label.run=8", "label.run"),
        ("state=running&", None),
        ("=", ""),
    ],
)
async def test_a_misspelt_filter_selects_nothing(service: Service, query: str, named: str | None) -> None:
    answer = await service.client.get(f"/v1/jobs?{query}")
    if named is None:
        assert answer.status_code == 200
        return
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["pointer"] == f"/{named}"
    if "page_size=" not in query and "label.run" not in query:
        assert "state, page_size, page_token, label.{key}" in answer.json()["detail"]


async def test_a_key_is_asked_for_before_parameters_are_looked_at(service: Service) -> None:
    async with serving(settings(service.database)) as client:
        assert (await client.get("/v1/jobs?pageSize=2")).status_code == 401


@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        ("/v1/jobs", {"GET", "HEAD", "POST"}),
        (f"/v1/jobs/{NO_JOB}", {"GET", "HEAD", "DELETE"}),
        (f"/v1/jobs/{NO_JOB}:cancel", {"POST"}),
        (f"/v1/jobs/{NO_JOB}/items", {"GET", "HEAD"}),
        ("/v1/models", {"GET", "HEAD"}),
        ("/healthz", {"GET", "HEAD"}),
        ("/docs", {"GET", "HEAD"}),
        ("/static/docs.js", {"GET", "HEAD"}),
    ],
)
async def test_allow_lists_every_method_of_the_path(service: Service, path: str, allowed: set[str]) -> None:
    options = await service.client.options(path)
    wrong = await service.client.patch(path)
    assert (options.status_code, wrong.status_code) == (204, 405)
    for answer in (options, wrong):
        assert set(answer.headers["allow"].split(", ")) == allowed | {"OPTIONS"}
    assert wrong.json()["reason"] == "METHOD_NOT_ALLOWED"


async def test_options_of_no_path(service: Service) -> None:
    assert (await service.client.options("/v1/nothing")).status_code == 404


async def test_head_is_get_without_its_body(service: Service) -> None:
    job = await service.submit(1)
    for path in ("/healthz", "/docs", "/static/docs.js", "/v1/jobs", job["links"]["self"], job["links"]["results"]):
        head, get = await service.client.head(path), await service.client.get(path)
        assert (head.status_code, head.content, get.status_code) == (200, b"", 200), path
        assert head.headers["content-type"] == get.headers["content-type"]
    assert (await service.client.head("/v1/jobs?pageSize=2")).status_code == 422
    assert (await service.client.head(f"/v1/jobs/{NO_JOB}")).status_code == 404


@pytest.mark.parametrize("path", ["/v1/jobs/", "/v1/models/", "/docs/", "/healthz/", "//v1/jobs", "/v1//jobs"])
async def test_nothing_redirects_to_the_host_that_a_client_names(service: Service, path: str) -> None:
    answer = await service.client.get(path, headers={"Host": "evil.example"})
    assert (answer.status_code, answer.json()["reason"]) == (404, "NOT_FOUND")
    assert "evil" not in answer.text and "location" not in answer.headers


async def test_a_submit_names_no_host_either(service: Service) -> None:
    answer = await service.client.post("/v1/jobs", json=body(1), headers={"Host": "evil.example"})
    assert answer.headers["location"] == answer.json()["links"]["self"]
    assert "evil" not in answer.text


@pytest.fixture(scope="module")
def broken(module_database: str) -> Iterator[tuple[str, int]]:
    """The address of a server with a route that fails."""
    with served("tests.api.http.broken_app:broken_app", module_database) as address:
        yield address


@pytest.mark.parametrize("read", [True, False])
@pytest.mark.parametrize("size", [0, 10, 4_000_000])
def test_after_an_error_of_ours_the_connection_goes_on(broken: tuple[str, int], read: bool, size: int) -> None:
    """Nothing is reset: the client reads its answer, and the next one on the same connection."""
    with socket.create_connection(broken, timeout=60) as connection:
        head = f"POST /boom?read={str(read).lower()} HTTP/1.1\r\nHost: a\r\nContent-Length: {size}\r\n\r\n"
        connection.sendall(head.encode() + b"x" * size)
        with connection.makefile("rb") as answers:
            status, closes = read_answer(answers)
            assert status == 500
            if not closes:
                connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n")
                assert read_answer(answers)[0] == 200
            else:
                assert answers.read() == b""


def read_answer(answers: Any) -> tuple[int, bool]:
    """Status, and whether the connection is said to end."""
    status = int(answers.readline().split()[1])
    headers = {}
    while line := answers.readline().strip():
        name, _, value = line.partition(b":")
        headers[name.lower()] = value.strip()
    assert len(answers.read(int(headers[b"content-length"]))) == int(headers[b"content-length"])
    return status, headers.get(b"connection") == b"close"


@pytest.mark.parametrize("sent", ["a-1.B_2", "x" * 65, "a b", "a\x00"])
async def test_a_request_has_an_id_that_cannot_forge_a_line(service: Service, sent: str) -> None:
    answer = await service.client.get("/nothing", headers={"X-Request-Id": sent})
    found = answer.headers["x-request-id"]
    assert found == sent if sent == "a-1.B_2" else found.startswith("req_") and len(found) == 36
