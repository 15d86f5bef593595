"""MASKWORKS_DATABASE_URL, read in one place, so that SQLAlchemy and psycopg connect in the same way.

libpq reads the URL, so everything that psql accepts works: several hosts, `options=`, `service=`, sockets, %20.
One parameter is ours: `pool_mode=transaction` says that a pooler such as PgBouncer in that mode is in between.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import unquote

from psycopg import ProgrammingError
from psycopg.conninfo import conninfo_to_dict

SCHEMES: Final = ("postgresql", "postgres", "postgresql+psycopg")
EXAMPLE: Final = "postgresql://user:password@host:5432/maskworks"
POOL_MODES: Final = ("session", "transaction")


class BadDatabaseUrl(ValueError):
    """The URL cannot be used. The text says why, without any part of a password."""


@dataclass(frozen=True)
class DatabaseUrl:
    """What to connect with.

    `parameters` are libpq's. If `pooled`, each transaction may get another session of the server, so nothing can be
    kept in a session: no prepared statements, no LISTEN, no settings.
    """

    parameters: Mapping[str, str] = field(repr=False)
    pooled: bool = False

    def arguments(self) -> dict[str, Any]:
        """Keyword arguments of psycopg.connect. The URL wins over our defaults."""
        ours: dict[str, Any] = {
            "connect_timeout": "5",
            "keepalives_idle": "10",
            "keepalives_interval": "5",
            "keepalives_count": "3",
        }
        return ours | dict(self.parameters) | ({"prepare_threshold": None} if self.pooled else {})


def read_database_url(text: str) -> DatabaseUrl:
    """Raises BadDatabaseUrl."""
    scheme, separator, rest = text.partition("://")
    if not separator or scheme not in SCHEMES:
        raise BadDatabaseUrl(f"is no URL of Postgres: write {EXAMPLE}")
    if re.search(r"\s", text):
        raise BadDatabaseUrl("holds a space or a line break: write a space as %20")
    where, _, query = rest.partition("?")
    rest, pool_mode = _take_pool_mode(where, query)
    try:
        parameters = conninfo_to_dict(f"postgresql://{rest}")
    except ProgrammingError as error:
        raise BadDatabaseUrl(f"cannot be read: {_without_secrets(str(error).strip(), rest)}") from None
    _check_hosts(parameters)
    return DatabaseUrl({name: str(value) for name, value in parameters.items()}, pool_mode == "transaction")


def _take_pool_mode(where: str, query: str) -> tuple[str, str]:
    """The URL's rest without our own parameter, and that parameter's value. Refuses a name that is given twice."""
    pairs = [pair for pair in query.split("&") if pair]
    names = [unquote(pair.partition("=")[0]) for pair in pairs]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise BadDatabaseUrl(f"gives {twice} twice; several hosts are written host1:5432,host2:5432")
    given = dict(zip(names, (unquote(pair.partition("=")[2]) for pair in pairs), strict=True))
    pool_mode = given.get("pool_mode", "session")
    if pool_mode not in POOL_MODES:
        raise BadDatabaseUrl(f"has a pool_mode other than {' or '.join(POOL_MODES)}: others cannot work")
    kept = "&".join(pair for pair, name in zip(pairs, names, strict=True) if name != "pool_mode")
    return where + ("?" + kept if kept else ""), pool_mode


def _check_hosts(parameters: Mapping[str, Any]) -> None:
    if "@" in str(parameters.get("host", "")):
        raise BadDatabaseUrl("has more than one @: write an @ in a user's name or password as %40")
    for port in filter(None, str(parameters.get("port", "")).split(",")):
        if not (port.isascii() and port.isdigit() and 0 < int(port) < 65536):
            raise BadDatabaseUrl(
                "has a port that is no number from 1 to 65535; a / or : in a password is written %2F or %3A"
            )


def _without_secrets(message: str, rest: str) -> str:
    """libpq quotes the part that it cannot read, which may be part of the password."""
    secret = rest.rpartition("@")[0]
    return re.sub(r'"([^"]*)"', lambda quoted: '"…"' if secret and _overlap(quoted[1], secret) else quoted[0], message)


def _overlap(quoted: str, secret: str) -> bool:
    return quoted in secret or secret in quoted
