"""`python -m db.tenants`: make, list, show and change tenants, and what they may do.

Settings come from the environment: MASKWORKS_DATABASE_URL.
"""

import argparse
import re
import sys
from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import Connection, RowMapping
from sqlalchemy.exc import IntegrityError

from db.allow_list import BadPlace, read_place
from db.command import Refused, fields, run, shown
from db.limits import MAX_REQUESTS_PER_MINUTE
from db.statements.tenants import change_tenant, insert_tenant, list_tenants, tenant_row

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
_DEFAULT: Final = "default"


def _create(connection: Connection, options: argparse.Namespace) -> str:
    if not _NAME.fullmatch(options.name):
        raise Refused(
            f"{options.name!r} cannot be a tenant's name: up to 63 letters, digits, dots, dashes and underscores"
        )
    try:
        connection.execute(*insert_tenant(options.name, _changes(options)))
    except IntegrityError as error:
        raise Refused(f"there is a tenant {options.name!r} already: `python -m db.tenants list` shows them") from error
    return ""


def _set(connection: Connection, options: argparse.Namespace) -> str:
    changes = _changes(options)
    if not changes:
        raise Refused("there is nothing to change: `python -m db.tenants set --help` lists what can be set")
    if connection.execute(*change_tenant(options.name, changes)).first() is None:
        raise _unknown(options.name)
    return _show(connection, options)


def _show(connection: Connection, options: argparse.Namespace) -> str:
    row = connection.execute(*tenant_row(options.name)).mappings().first()
    if row is None:
        raise _unknown(options.name)
    return fields(_view(row), as_json=options.json)


def _list(connection: Connection, options: argparse.Namespace) -> str:
    rows = connection.execute(*list_tenants()).mappings()
    return shown([_view(row) for row in rows], as_json=options.json)


def _view(row: RowMapping) -> dict[str, Any]:
    return {"name": row["id"], **{name: value for name, value in row.items() if name != "id"}}


def _unknown(name: str) -> Refused:
    return Refused(f"there is no tenant {name!r}: `python -m db.tenants list` shows them")


def _changes(options: argparse.Namespace) -> dict[str, Any]:
    """The columns that the options name. Those that are not given stay as they are."""
    changes: dict[str, Any] = {}
    for name in ("weight", "max_open_items", "requests_per_minute"):
        given = getattr(options, name)
        if given is not None:
            changes[name] = None if given == _DEFAULT else given
    if options.allow_all:
        changes["places"] = None
    elif options.allow is not None:
        changes["places"] = sorted(set(options.allow))
    return changes


def _limit(least: int, most: int = 2**31 - 1) -> Any:
    def read(text: str) -> int | str:
        if text == _DEFAULT:
            return text
        if text.isascii() and text.isdigit() and least <= int(text) <= most:
            return int(text)
        raise argparse.ArgumentTypeError(f"{text!r} is neither a number from {least} to {most} nor `{_DEFAULT}`")

    return read


def _weight(text: str) -> float:
    try:
        weight = float(text)
    except ValueError:
        weight = 0
    if not 0.001 <= weight <= 1000:
        raise argparse.ArgumentTypeError(f"{text!r} is no number from 0.001 to 1000")
    return weight


def _place(text: str) -> str:
    try:
        return read_place(text)
    except BadPlace as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _add_changes(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--weight", type=_weight, help="share of the workers beside other tenants (default: 1; 2 gets twice as much)"
    )
    parser.add_argument(
        "--max-open-items", type=_limit(0), metavar="N", help="unfinished items at a time; `default`: MAX_OPEN_ITEMS"
    )
    parser.add_argument(
        "--requests-per-minute",
        type=_limit(1, MAX_REQUESTS_PER_MINUTE),
        metavar="N",
        help="requests of all its keys together; `default`: REQUESTS_PER_MINUTE",
    )
    places = parser.add_mutually_exclusive_group()
    places.add_argument(
        "--allow",
        type=_place,
        action="append",
        metavar="PLACE",
        help="only this place, such as s3://bucket/ or s3://bucket/photos/; repeat it for several",
    )
    places.add_argument("--allow-all", action="store_true", help="every bucket that the installation allows")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m db.tenants", description="Tenants, and what they may do.")
    commands = parser.add_subparsers(dest="command", required=True)
    create = commands.add_parser("create", help="make a tenant")
    change = commands.add_parser("set", help="change a tenant; a process of the API notices within seconds")
    show = commands.add_parser("show", help="one tenant")
    for each in (create, change, show):
        each.add_argument("name", metavar="NAME")
    for each in (create, change):
        _add_changes(each)
    for each in (change, show, commands.add_parser("list", help="every tenant")):
        each.add_argument("--json", action="store_true", help="print JSON instead of a table")
    return parser


_COMMANDS: Final = {"create": _create, "set": _set, "show": _show, "list": _list}


def main(words: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(words)
    return run(lambda connection: _COMMANDS[options.command](connection, options))


if __name__ == "__main__":
    sys.exit(main())
