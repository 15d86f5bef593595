"""`python -m db.keys`: make, list, rotate and revoke API keys.

`create` and `rotate` print the new key as the only line on stdout. It cannot be shown again. Settings come from the
environment: MASKWORKS_DATABASE_URL, and MASKWORKS_KEY_PEPPER to make a key.
"""

import argparse
import sys
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any, Final, TypeVar

from sqlalchemy import Connection, RowMapping
from sqlalchemy.exc import IntegrityError

from db.api_key import new_key
from db.command import Refused, run, shown
from db.configuration import KeySettings, operator_errors, read_settings
from db.durations import read_duration
from db.scopes import Scope, read_scopes
from db.statements.keys import expire_key, insert_key, key_row, list_keys, revoke_key

_DAY: Final = timedelta(hours=24)
_NEVER: Final = "never"
T = TypeVar("T")


def _create(connection: Connection, options: argparse.Namespace) -> str:
    key = new_key()
    given = {"name": options.name, "tenant": options.tenant, "scopes": options.scopes, "lifetime": options.expires}
    try:
        connection.execute(*insert_key(key, pepper=options.pepper, **given))
    except IntegrityError as error:
        how = f"`python -m db.tenants create {options.tenant}` makes it"
        raise Refused(f"there is no tenant {options.tenant!r}: {how}") from error
    return str(key)


def _rotate(connection: Connection, options: argparse.Namespace) -> str:
    """A new key like the old one, that lives as long from now on. The old one ends after the overlap, if not before."""
    prefix, key = _prefix(options.prefix), new_key()
    old = connection.execute(*key_row(prefix)).first()
    if old is None:
        raise _unknown(prefix)
    lifetime = getattr(options, "expires", old.lifetime)
    given = {"name": old.name, "tenant": old.tenant_id, "scopes": old.scopes, "lifetime": lifetime}
    connection.execute(*insert_key(key, pepper=options.pepper, **given))
    connection.execute(*expire_key(prefix, after=options.overlap))
    return str(key)


def _revoke(connection: Connection, options: argparse.Namespace) -> str:
    prefix = _prefix(options.prefix)
    if connection.execute(*revoke_key(prefix)).first() is None:
        raise _unknown(prefix)
    return ""


def _list(connection: Connection, options: argparse.Namespace) -> str:
    rows = connection.execute(*list_keys(options.tenant)).mappings()
    return shown([_view(row) for row in rows], as_json=options.json)


def _view(row: RowMapping) -> dict[str, Any]:
    scopes = ["all"] if row["scopes"] is None else row["scopes"]
    return {"prefix": row["prefix"], **{**row, "scopes": scopes}}


def _prefix(text: str) -> str:
    """`mw_PREFIX_…` and `PREFIX` mean the same key."""
    return text.removeprefix("mw_").partition("_")[0]


def _unknown(prefix: str) -> Refused:
    return Refused(f"no valid key has the prefix {prefix!r}: `python -m db.keys list` shows them")


def _read(reader: Callable[[str], T]) -> Callable[[str], T]:
    """For argparse, which prints the text of its own error alone."""

    def read(text: str) -> T:
        try:
            return reader(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from error

    return read


def _lifetime(text: str) -> timedelta | None:
    return None if text == _NEVER else read_duration(text)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m db.keys", description="API keys.")
    commands = parser.add_subparsers(dest="command", required=True)
    create = commands.add_parser("create", help="make a key and print it: it cannot be shown again")
    create.add_argument("--name", required=True, help="what the key is for")
    create.add_argument("--tenant", default="default", help="whose key it is (default: default)")
    create.add_argument(
        "--scopes",
        type=_read(read_scopes),
        metavar="SCOPE,…",
        help=f"what it may do, of {', '.join(Scope)} (default: all, also what later releases add)",
    )
    rotate = commands.add_parser("rotate", help="make and print a key that replaces another one")
    rotate.add_argument(
        "--overlap", type=_read(read_duration), default=_DAY, help="how long the old key stays valid (default: 24h)"
    )
    for each, default, said in (
        (create, None, _NEVER),
        (rotate, argparse.SUPPRESS, "as long as the old one was given"),
    ):
        each.add_argument(
            "--expires",
            type=_read(_lifetime),
            default=default,
            metavar="IN",
            help=f"end after so long, as 90d, or `{_NEVER}` (default: {said})",
        )
    revoke = commands.add_parser("revoke", help="refuse a key; processes of the API notice within seconds")
    for each in (rotate, revoke):
        each.add_argument("prefix", metavar="PREFIX", help="of the key, as `list` shows it")
    listing = commands.add_parser("list", help="every key, without its secret")
    listing.add_argument("--tenant", help="only keys of this tenant")
    listing.add_argument("--json", action="store_true", help="print JSON instead of a table")
    return parser


_COMMANDS: Final = {"create": _create, "list": _list, "rotate": _rotate, "revoke": _revoke}


def main(words: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(words)
    if options.command in ("create", "rotate"):
        with operator_errors():
            options.pepper = read_settings(KeySettings).key_pepper
    return run(lambda connection: _COMMANDS[options.command](connection, options))


if __name__ == "__main__":
    sys.exit(main())
