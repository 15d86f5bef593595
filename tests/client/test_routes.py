"""The client against the OpenAPI document: each route has its call, and each field its place in a record."""

import re
from inspect import isclass
from pathlib import Path
from typing import Any

import pytest
from msgspec import Struct
from msgspec.structs import fields

from deploy.local.stack import Stack
from maskworks import Client, Job, masks, records, webhooks
from maskworks.cli.main import app
from maskworks.submission import JobFields

PAGE = Path(__file__).parents[2] / "docs" / "client.md"
ROW = re.compile(r"^\| `([A-Z]+ /\S+)` \| (.*) \| (.*) \|$", re.M)


@pytest.fixture(scope="module")
def document(service: Stack) -> dict[str, Any]:
    with service.client() as http:
        found: dict[str, Any] = http.get("/openapi.json").json()
        return found


def test_each_route_has_a_row_with_its_calls(document: dict[str, Any], client: Client) -> None:
    rows = {route: (calls, commands) for route, calls, commands in ROW.findall(PAGE.read_text())}
    assert set(rows) == {f"{m.upper()} {path}" for path, methods in document["paths"].items() for m in methods}
    commands = {command.name or command.callback.__name__ for command in app.registered_commands if command.callback}
    commands |= {group.name for group in app.registered_groups if group.name}
    for calls, named in rows.values():
        for call in re.findall(r"`(.*?)`", calls):
            thing: Any = {"client": client, "job": Job}[call.partition(".")[0]]
            for part in call.split(".")[1:]:
                thing = getattr(thing, part)
            assert callable(thing), call
        assert set(re.findall(r"`(.*?)`", named)) <= commands


def test_records_have_the_fields_of_the_answers(document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]
    others = {"JobRecord": "Job", "Failure": "JobError", "Mask": "MaskBody", "Validation": "Validated"}
    kinds = [kind for module in (records, masks, webhooks) for kind in vars(module).values() if isclass(kind)]
    of_files = records.Result, records.TiledResult, masks.TiledMask, masks.MaskTile
    described = [kind for kind in kinds if issubclass(kind, Struct) and kind not in (Struct, records.Event, *of_files)]
    assert len(described) > 15
    for kind in described:
        schema = schemas[others.get(kind.__name__, kind.__name__)]
        assert {field.name for field in fields(kind)} == set(schema["properties"]), kind
    asked = set(schemas["JobRequest"]["properties"]) - {"input", "task", "validate_only"}
    assert set(JobFields.__annotations__) == asked
