"""API keys: `mw_<prefix>_<secret>`. The database holds the prefix and HMAC-SHA256(pepper, secret), never the secret.

A secret has 256 random bits, so a slow hash would protect nothing. `python -m db.keys create --name NAME` prints a new
key as the only line on stdout; `list`, `revoke`, `tenant create NAME` and `tenant list` do what they say. Settings come
from the environment: MASKWORKS_DATABASE_URL, and MASKWORKS_KEY_PEPPER where a key is made.
"""

import argparse
import hashlib
import hmac
import secrets
import sys
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Insert, RowMapping, Select, Update, func, insert, or_, select, update
from sqlalchemy.exc import IntegrityError

from db.configuration import DatabaseSettings, KeySettings, operator_errors, read_settings
from db.engine import DATABASE_ERRORS, first_line, single_connection_engine
from db.tables import api_keys
from db.tenants import NAME, insert_tenant, list_tenants


@dataclass(frozen=True)
class ApiKey:
    """A key as its holder knows it. `repr` keeps the secret out of logs."""

    prefix: str
    secret: str = field(repr=False)

    def __str__(self) -> str:
        return f"mw_{self.prefix}_{self.secret}"


def new_key() -> ApiKey:
    """48 random bits to look it up by, 256 to prove it with."""
    return ApiKey(prefix=secrets.token_hex(6), secret=secrets.token_urlsafe(32))


def read_key(text: str) -> ApiKey | None:
    """The key behind `mw_…_…`, or None where the text can not be one."""
    scheme, _, rest = text.partition("_")
    prefix, _, secret = rest.partition("_")
    printable = prefix.isascii() and prefix.isalnum() and secret.isascii() and secret.isprintable()
    return ApiKey(prefix, secret) if scheme == "mw" and prefix and secret and printable else None


def digest(pepper: str, secret: str) -> bytes:
    """What is stored of a secret: 32 bytes."""
    return hmac.new(pepper.encode(), secret.encode(), hashlib.sha256).digest()


def verified(pepper: str, key: ApiKey, stored: bytes) -> bool:
    """Whether `key` has the stored digest, in constant time."""
    return hmac.compare_digest(digest(pepper, key.secret), stored)


def valid_key(prefix: str) -> Select[tuple[str, bytes]]:
    """tenant_id and digest of the key with that prefix. No row: unknown, revoked or expired."""
    return select(api_keys.c.tenant_id, api_keys.c.digest).where(
        api_keys.c.prefix == prefix,
        api_keys.c.revoked_at.is_(None),
        or_(api_keys.c.expires_at.is_(None), api_keys.c.expires_at > func.clock_timestamp()),
    )


def insert_key(key: ApiKey, pepper: str, name: str, tenant: str) -> Insert:
    return insert(api_keys).values(
        prefix=key.prefix,
        tenant_id=tenant,
        digest=digest(pepper, key.secret),
        name=name,
        created_at=func.clock_timestamp(),
    )


def list_keys() -> Select[Any]:
    """Every key, oldest first, without its digest."""
    shown = (api_keys.c.prefix, api_keys.c.tenant_id, api_keys.c.name, api_keys.c.created_at, api_keys.c.revoked_at)
    return select(*shown).order_by(api_keys.c.created_at, api_keys.c.prefix)


def revoke_key(prefix: str) -> Update:
    """Refuse the key from now on. No row: unknown, or revoked before."""
    return (
        update(api_keys)
        .where(api_keys.c.prefix == prefix, api_keys.c.revoked_at.is_(None))
        .values(revoked_at=func.clock_timestamp())
        .returning(api_keys.c.prefix)
    )


def _create(connection: Connection, options: argparse.Namespace, pepper: str) -> int:
    key = new_key()
    try:
        connection.execute(insert_key(key, pepper, options.name, options.tenant))
    except IntegrityError:
        return _refuse(
            f"there is no tenant {options.tenant!r}: `python -m db.keys tenant create {options.tenant}` makes it"
        )
    connection.commit()
    print(key)
    return 0


def _list(connection: Connection) -> int:
    for row in connection.execute(list_keys()).mappings():
        print("\t".join(_cells(row)))
    return 0


def _cells(row: RowMapping) -> list[str]:
    state = f"revoked {_time(row['revoked_at'])}" if row["revoked_at"] else "valid"
    return [f"mw_{row['prefix']}_…", row["tenant_id"], row["name"], _time(row["created_at"]), state]


def _time(moment: datetime) -> str:
    return f"{moment:%Y-%m-%dT%H:%M:%SZ}"


def _revoke(connection: Connection, prefix: str) -> int:
    prefix = prefix.removeprefix("mw_").partition("_")[0]
    if connection.execute(revoke_key(prefix)).first() is None:
        return _refuse(f"no valid key has the prefix {prefix!r}: `python -m db.keys list` shows them")
    connection.commit()
    return 0


def _create_tenant(connection: Connection, name: str) -> int:
    if not NAME.fullmatch(name):
        return _refuse(f"{name!r} cannot be a tenant's name: up to 63 letters, digits, dots, dashes and underscores")
    try:
        connection.execute(insert_tenant(name))
    except IntegrityError:
        return _refuse(f"there is a tenant {name!r} already: `python -m db.keys tenant list` shows them")
    connection.commit()
    return 0


def _list_tenants(connection: Connection) -> int:
    for row in connection.execute(list_tenants()):
        print(f"{row.id}\t{_time(row.created_at)}\t{row.keys} valid keys")
    return 0


def _refuse(why: str) -> int:
    print(why, file=sys.stderr)
    return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m db.keys", description="API keys, and the tenants they belong to.")
    commands = parser.add_subparsers(dest="command", required=True)
    create = commands.add_parser("create", help="make a key and print it: it can not be shown again")
    create.add_argument("--name", required=True, help="what the key is for")
    create.add_argument("--tenant", default="default", help="whose key it is (default: default)")
    commands.add_parser("list", help="prefix, tenant, name, creation, state of every key")
    commands.add_parser("revoke", help="refuse a key from now on").add_argument("prefix")
    tenant = commands.add_parser("tenant", help="make and list tenants").add_subparsers(dest="action", required=True)
    tenant.add_parser("create", help="make a tenant").add_argument("tenant", metavar="NAME")
    tenant.add_parser("list", help="name, creation, number of valid keys of every tenant")
    return parser


def _run(connection: Connection, options: argparse.Namespace, pepper: str) -> int:
    if options.command == "tenant":
        listing = options.action == "list"
        return _list_tenants(connection) if listing else _create_tenant(connection, options.tenant)
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
