"""What the operator's commands share: one connection, refusals in one line, and tables."""

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from db.configuration import DatabaseSettings, operator_errors, read_settings
from db.engine import DATABASE_ERRORS, first_line, single_connection_engine


class Refused(Exception):
    """The command cannot do what it was asked. The text says why, and what to do."""


def run(command: Callable[[Connection], str]) -> int:
    """Run the command in one transaction, and print what it returns. The process's exit code."""
    with operator_errors():
        url = read_settings(DatabaseSettings).database_url
    try:
        with single_connection_engine(url).begin() as connection:
            said = command(connection)
    except Refused as refusal:
        print(refusal, file=sys.stderr)
        return 1
    except DATABASE_ERRORS as error:
        print(f"the database failed: {first_line(error)}", file=sys.stderr)
        return 1
    if said:
        print(said)
    return 0


Rows = Sequence[Mapping[str, Any]]


def shown(rows: Rows, *, as_json: bool) -> str:
    """A JSON list, or a table whose columns are as wide as their widest cell."""
    if as_json:
        return json.dumps([{name: _plain(value) for name, value in row.items()} for row in rows], indent=1)
    if not rows:
        return ""
    table = [[name.replace("_", " ") for name in rows[0]], *([cell(value) for value in row.values()] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    return "\n".join("  ".join(map(str.ljust, line, widths)).rstrip() for line in table)


def fields(row: Mapping[str, Any], *, as_json: bool) -> str:
    """A JSON object, or a line for each field."""
    if as_json:
        return json.dumps({name: _plain(value) for name, value in row.items()}, indent=1)
    width = max(map(len, row))
    return "\n".join(f"{name.replace('_', ' '):{width}}  {cell(value)}" for name, value in row.items())


def cell(value: Any) -> str:
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%dT%H:%M:%SZ}"
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value))
    return "-" if value is None else str(value)


def _plain(value: Any) -> Any:
    return cell(value) if isinstance(value, datetime) else value
