"""`python -m db.tenants`: what it makes, shows and refuses."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from db.tenants import main


@pytest.fixture(autouse=True)
def database_of_its_own(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MASKWORKS_DATABASE_URL", database)


@pytest.fixture
def said(capsys: pytest.CaptureFixture[str]) -> Iterator[Any]:
    def run(*words: str) -> tuple[int, str, str]:
        code = main(words)
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    yield run


def test_a_tenant_is_made_listed_and_changed(said: Any) -> None:
    made = said("create", "maps", "--weight", "2", "--allow", "s3://images/maps", "--allow", "s3://tiles/")
    assert made == (0, "", "")
    code, out, _ = said("list")
    header, *rows = out.splitlines()
    assert (
        code == 0
        and header.split()[:2] == ["name", "weight"]
        and [row.split()[0] for row in rows] == ["default", "maps"]
    )
    assert "s3://images/maps/, s3://tiles/" in rows[1]
    code, out, _ = said("set", "maps", "--max-open-items", "1000", "--requests-per-minute", "60", "--json")
    shown = json.loads(out)
    assert (shown["weight"], shown["max_open_items"], shown["requests_per_minute"]) == (2.0, 1000, 60)
    assert shown["places"] == ["s3://images/maps/", "s3://tiles/"] and shown["valid_keys"] == 0
    said("set", "maps", "--allow-all", "--max-open-items", "default", "--requests-per-minute", "default")
    shown = json.loads(said("show", "maps", "--json")[1])
    assert (shown["places"], shown["max_open_items"], shown["requests_per_minute"]) == (None, None, None)


def test_what_is_refused(said: Any) -> None:
    assert said("create", "default")[2].startswith("there is a tenant 'default' already")
    assert said("show", "nobody")[2].startswith("there is no tenant 'nobody'")
    assert said("set", "nobody", "--weight", "2")[2].startswith("there is no tenant 'nobody'")
    assert said("set", "default")[2].startswith("there is nothing to change")


@pytest.mark.parametrize("name", ["", "a b", "-x", "a/b", "x" * 64, "tenänt", "a,b"])
def test_what_is_no_tenants_name(said: Any, name: str) -> None:
    code, _, err = said("create", "--", name)
    assert code == 1 and "cannot be a tenant's name" in err


@pytest.mark.parametrize(
    "words",
    [
        *(["--weight", "0"], ["--max-open-items", "x"], ["--allow", "images"]),
        *(["--requests-per-minute", "0"], ["--requests-per-minute", "1000001"]),
    ],
)
def test_a_wrong_value_is_named(capsys: pytest.CaptureFixture[str], words: list[str]) -> None:
    with pytest.raises(SystemExit):
        main(["set", "default", *words])
    assert words[0] in capsys.readouterr().err
