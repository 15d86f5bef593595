"""The OpenAPI document: complete, of unique names, and listing only what is not refused."""

import json
import re
from collections.abc import Iterator
from typing import Any

import httpx
import jsonschema
import pytest
from pydantic import BaseModel

from api import openapi
from api.main import create_app
from exports.table import FORMATS
from tests.api.conftest import Service, result_row, settings, some_masks
from tests.api.document import check_answer

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    """No database is asked for it."""
    return create_app(settings("postgresql+psycopg://nobody@127.0.0.1:1/none")).openapi()


def operations(document: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield f"{method} {path}", operation


def test_it_is_valid_by_the_standard(document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]
    for schema in schemas.values():
        jsonschema.Draft202012Validator.check_schema(schema)
    named = set(re.findall(r"#/components/schemas/(\w+)", json.dumps(document)))
    assert named - set(schemas) == set()
    names = [name for kind in document["components"].values() for name in kind]
    assert all(re.fullmatch(r"[A-Za-z0-9._-]+", name) for name in names)
    ids = [operation["operationId"] for _, operation in operations(document)]
    assert len(set(ids)) == len(ids)


def test_what_comes_back_is_not_described_by_what_is_sent(document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]
    assert {"state", "error", "mask_count"} <= set(schemas["Item"]["properties"])
    assert set(schemas["ItemRequest"]["properties"]) >= {"image", "prompts"}


def test_two_schemas_of_one_name_are_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    class Item(BaseModel):
        """Called as what comes back is."""

        other: int

    class Request(BaseModel):
        items: list[Item]

    monkeypatch.setattr(openapi, "JobRequest", Request)
    with pytest.raises(ValueError, match="two schemas are called Item"):
        create_app(settings("postgresql+psycopg://nobody@127.0.0.1:1/none")).openapi()


def test_every_route_is_in_it(document: dict[str, Any]) -> None:
    """All of API.md that is built, and what is refused by name."""
    listed = {name for name, _ in operations(document)}
    assert listed >= {
        "post /v1/jobs",
        "get /v1/jobs",
        "get /v1/jobs/{job_id}",
        "delete /v1/jobs/{job_id}",
        "post /v1/jobs/{job_id}:cancel",
        "post /v1/jobs/{job_id}:retry",
        "get /v1/jobs/{job_id}/events",
        "get /v1/jobs/{job_id}/items",
        "get /v1/jobs/{job_id}/items/{item_id}",
        "get /v1/jobs/{job_id}/items/{item_id}/masks",
        "get /v1/jobs/{job_id}/results",
        "get /v1/models",
        "get /healthz",
        "get /readyz",
    }


def test_every_status_is_in_it(document: dict[str, Any]) -> None:
    for name, operation in operations(document):
        statuses = set(operation["responses"])
        assert statuses >= {"405", "422", "500"}, name
        if "/v1" in name:
            assert statuses >= {"401", "429", "503"}, name
            assert operation["security"] == [{"api_key": []}], name
        if "{" in name:
            assert "404" in statuses, name
    by_name = dict(operations(document))
    assert set(by_name["post /v1/jobs"]["responses"]) >= {"200", "202", "413", "415"}
    assert "409" in by_name["delete /v1/jobs/{job_id}"]["responses"]
    assert "304" in by_name["get /v1/jobs/{job_id}"]["responses"]


def test_it_lists_only_what_is_not_refused(document: dict[str, Any]) -> None:
    by_name = dict(operations(document))
    formats = parameter(by_name["get /v1/jobs/{job_id}/results"], "format")["schema"]
    assert formats["enum"] == list(FORMATS)
    assert all(format.about in by_name["get /v1/jobs/{job_id}/results"]["description"] for format in FORMATS.values())
    assert set(document["components"]["schemas"]["JobRequest"]["properties"]["task"]["discriminator"]["mapping"]) == {
        "auto",
        "prompted",
        "text",
    }
    for name, operation in operations(document):
        for each in operation.get("parameters", []):
            assert {"type": "null"} not in each["schema"].get("anyOf", []), f"{name} {each['name']}"
            if each["name"] == "page_token":
                assert re.fullmatch(each["schema"]["pattern"], "0" * 8) or re.fullmatch(
                    each["schema"]["pattern"], "0" * 32
                )
            if each["name"] == "page_size":
                most = 1_000_000 if name.endswith("/results") else 1000
                assert (each["schema"]["minimum"], each["schema"]["maximum"]) == (1, most)


def parameter(operation: dict[str, Any], name: str) -> dict[str, Any]:
    (found,) = [p for p in operation["parameters"] if p["name"] == name]
    return dict(found)


@pytest.mark.parametrize("written", ["2.0", "2e0", "1_0", " 2", "2 ", "+2", "02", "0x2", "٢", "1e400", "9" * 30])
async def test_only_an_integer_is_one(service: Service, written: str) -> None:
    job = await service.submit(1)
    for path in ("/v1/jobs", f"{job['links']['self']}/items", f"{job['links']['self']}/items/0/masks"):
        answer = await service.client.get(path, params={"page_size": written})
        assert (answer.status_code, answer.json()["reason"]) == (422, "INVALID_PARAMETER")
        assert answer.json()["errors"][0]["pointer"] == "/page_size"


@pytest.mark.parametrize("written", ["nan", "inf", "-inf", "-1", "60.1", "1_0", " 1", "1e400", "", "."])
async def test_only_a_number_is_one(service: Service, written: str) -> None:
    job = await service.submit(1)
    answer = await service.client.get(job["links"]["self"], params={"wait": written})
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, "/wait")


@pytest.mark.parametrize("token", ["00000000", "00000001", "7fffffff"])
async def test_each_token_of_the_pattern_is_a_token(service: Service, token: str) -> None:
    job = await service.submit(2)
    service.work(job["id"], lambda _: result_row(some_masks(3)), 2)
    for path, name in ((f"{job['links']['items']}", "items"), (f"{job['links']['items']}/0/masks", "masks")):
        for state in ({}, {"state": "succeeded"}, {"state": "pending"}):
            given = {"page_token": token, **(state if name == "items" else {})}
            answer = await service.client.get(path, params=given)
            assert answer.status_code == 200 and len(answer.json()[name]) <= 3
    for job_token in ("0" * 32, "f" * 32):
        assert (await service.client.get("/v1/jobs", params={"page_token": job_token})).status_code == 200


@pytest.mark.parametrize("token", ["80000000", "ffffffff", "0" * 32, "0000000", "0000000G", "MjE0NzQ4MzY0Nw", ""])
async def test_no_other_token_is(service: Service, token: str) -> None:
    job = await service.submit(1)
    answer = await service.client.get(job["links"]["items"], params={"page_token": token})
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, "/page_token")


async def test_an_answer_that_is_not_in_the_document_is_noticed(document: dict[str, Any]) -> None:
    """The check behind every test of this package can fail."""
    request = httpx.Request("GET", "http://api/v1/models")
    good = {
        "name": "a",
        "default": True,
        "parameters": None,
        "licence": None,
        "loaded": False,
        "workers": [],
        "decoders": [],
    }
    check_answer(document, httpx.Response(200, json={"models": [good]}, request=request))
    with pytest.raises(jsonschema.ValidationError):
        check_answer(document, httpx.Response(200, json={"models": [{**good, "default": "yes"}]}, request=request))
    with pytest.raises(AssertionError, match="201 is not in the document"):
        check_answer(document, httpx.Response(201, json={"models": []}, request=request))
    with pytest.raises(AssertionError, match="text/plain"):
        check_answer(document, httpx.Response(404, text="no", request=request))


async def test_its_examples_are_accepted(service: Service, document: dict[str, Any]) -> None:
    content = document["paths"]["/v1/jobs"]["post"]["requestBody"]["content"]["application/json"]
    whole = {**content["schema"], "components": document["components"]}
    for example in content["examples"].values():
        jsonschema.Draft202012Validator(whole).validate(example["value"])
        assert (await service.client.post("/v1/jobs", json=example["value"])).status_code == 202


async def test_the_document_is_served_as_it_is(service: Service) -> None:
    served = await service.client.get("/openapi.json")
    assert served.json() == json.loads(json.dumps(service.client.app.openapi()))
    assert served.json()["openapi"].startswith("3.1")
