"""API keys: `mw_<prefix>_<secret>`. The database holds the prefix and HMAC-SHA256(pepper, secret), never the secret.

A secret has 256 random bits, so a slow hash would protect nothing. `python -m db.keys create --name NAME` prints a new
key as the only line on stdout; `list` and `revoke` do what they say. Both settings come from the environment:
MASKWORKS_DATABASE_URL and MASKWORKS_KEY_PEPPER.
"""

import argparse
import hashlib
import hmac
import os
import secrets
import sys
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, Insert, RowMapping, Select, Update, create_engine, func, insert, or_, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.pool import NullPool

from db.tables import api_keys


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
        print(f"there is no tenant {options.tenant!r}", file=sys.stderr)
        return 1
    connection.commit()
    print(key)
    return 0


def _list(connection: Connection) -> int:
    for row in connection.execute(list_keys()).mappings():
        print("\t".join(_cells(row)))
    return 0


def _cells(row: RowMapping) -> list[str]:
    state = f"revoked {row['revoked_at']:%Y-%m-%dT%H:%M:%SZ}" if row["revoked_at"] else "valid"
    return [f"mw_{row['prefix']}_…", row["tenant_id"], row["name"], f"{row['created_at']:%Y-%m-%dT%H:%M:%SZ}", state]


def _revoke(connection: Connection, prefix: str) -> int:
    prefix = prefix.removeprefix("mw_").partition("_")[0]
    if connection.execute(revoke_key(prefix)).first() is None:
        print(f"no valid key has the prefix {prefix!r}", file=sys.stderr)
        return 1
    connection.commit()
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m db.keys", description="Create, list and revoke API keys.")
    commands = parser.add_subparsers(dest="command", required=True)
    create = commands.add_parser("create", help="make a key and print it: it can not be shown again")
    create.add_argument("--name", required=True, help="what the key is for")
    create.add_argument("--tenant", default="default")
    commands.add_parser("list", help="prefix, tenant, name, creation, state of every key")
    commands.add_parser("revoke", help="refuse a key from now on").add_argument("prefix")
    return parser


def main() -> int:
    options = _parser().parse_args()
    url, pepper = os.environ.get("MASKWORKS_DATABASE_URL"), os.environ.get("MASKWORKS_KEY_PEPPER")
    if not url or not pepper:
        print("MASKWORKS_DATABASE_URL and MASKWORKS_KEY_PEPPER must be set", file=sys.stderr)
        return 2
    engine = create_engine(url, poolclass=NullPool)
    with engine.connect() as connection:
        if options.command == "create":
            return _create(connection, options, pepper)
        return _list(connection) if options.command == "list" else _revoke(connection, options.prefix)


if __name__ == "__main__":
    sys.exit(main())
