"""`python -m db.keys`: make, list and revoke API keys.

`create --name NAME` prints the new key as the only line on stdout. Settings come from the environment:
MASKWORKS_DATABASE_URL, and MASKWORKS_KEY_PEPPER to make a key.
"""

import argparse
import sys
from datetime import datetime

from sqlalchemy import Connection, RowMapping
from sqlalchemy.exc import IntegrityError

from db.api_key import new_key
from db.configuration import DatabaseSettings, KeySettings, operator_errors, read_settings
from db.engine import DATABASE_ERRORS, first_line, single_connection_engine
from db.statements.keys import insert_key, list_keys, revoke_key


def _create(connection: Connection, options: argparse.Namespace, pepper: str) -> int:
    key = new_key()
    try:
        connection.execute(*insert_key(key, pepper=pepper, name=options.name, tenant=options.tenant))
    except IntegrityError:
        return _refuse(
            f"there is no tenant {options.tenant!r}: `python -m db.tenants create {options.tenant}` makes it"
        )
    connection.commit()
    print(key)
    return 0


def _list(connection: Connection) -> int:
    for row in connection.execute(*list_keys()).mappings():
        print("\t".join(_cells(row)))
    return 0


def _cells(row: RowMapping) -> list[str]:
    state = f"revoked {_time(row['revoked_at'])}" if row["revoked_at"] else "valid"
    return [f"mw_{row['prefix']}_…", row["tenant_id"], row["name"], _time(row["created_at"]), state]


def _time(moment: datetime) -> str:
    return f"{moment:%Y-%m-%dT%H:%M:%SZ}"


def _revoke(connection: Connection, prefix: str) -> int:
    prefix = prefix.removeprefix("mw_").partition("_")[0]
    if connection.execute(*revoke_key(prefix)).first() is None:
        return _refuse(f"no valid key has the prefix {prefix!r}: `python -m db.keys list` shows them")
    connection.commit()
    return 0


def _refuse(why: str) -> int:
    print(why, file=sys.stderr)
    return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m db.keys", description="API keys.")
    commands = parser.add_subparsers(dest="command", required=True)
    create = commands.add_parser("create", help="make a key and print it: it cannot be shown again")
    create.add_argument("--name", required=True, help="what the key is for")
    create.add_argument("--tenant", default="default", help="whose key it is (default: default)")
    commands.add_parser("list", help="prefix, tenant, name, creation, state of every key")
    commands.add_parser("revoke", help="refuse a key from now on").add_argument("prefix")
    return parser


def _run(connection: Connection, options: argparse.Namespace, pepper: str) -> int:
    if options.command == "create":
        return _create(connection, options, pepper)
    return _list(connection) if options.command == "list" else _revoke(connection, options.prefix)


def main() -> int:
    options = _parser().parse_args()
    with operator_errors():
        pepper = ""
        if options.command == "create":
            pepper = read_settings(KeySettings).key_pepper
        url = read_settings(DatabaseSettings).database_url
    try:
        with single_connection_engine(url).connect() as connection:
            return _run(connection, options, pepper)
    except DATABASE_ERRORS as error:
        return _refuse(f"the database failed: {first_line(error)}")


if __name__ == "__main__":
    sys.exit(main())
