"""Engines on psycopg 3: async for the front door, sync for workers and the dispatcher."""

from typing import Any, Final

import psycopg
from sqlalchemy import Engine, create_engine, event
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import ConnectionPoolEntry, NullPool

from db.own_rows import cursor_as
from db.url import DatabaseUrl, read_database_url

DATABASE_ERRORS: Final = (DBAPIError, PoolTimeout, psycopg.Error)
"""What a failed statement raises: through SQLAlchemy, from its pool, or from psycopg itself (COPY, LISTEN)."""

_ABOUT_DATA: Final = ("22", "23", "54", "P0")
"""Classes of SQLSTATE: bad data, a violated constraint, a limit of a row or statement, an error from a trigger."""


def is_about_data(error: BaseException) -> bool:
    """Whether Postgres or psycopg refused the values of a statement, so that it would fail at every retry.

    False for every other error: the database is away, restarting or busy, or has another schema than expected.
    """
    cause = error.orig if isinstance(error, DBAPIError) else error
    if not isinstance(cause, psycopg.Error):
        return False
    if cause.sqlstate is None:  # psycopg refused by itself, for example a NUL in a text
        return isinstance(cause, psycopg.DataError | psycopg.NotSupportedError)
    return cause.sqlstate[:2] in _ABOUT_DATA


_AWAY: Final = ("08", "53", "57P", "58", "25P03")
"""Beginnings of SQLSTATE: no connection, no room, or a server that starts, stops, cannot write or ended our backend."""


def is_away(error: BaseException) -> bool:
    """Whether the database cannot be reached, so that every other statement would fail as well."""
    if isinstance(error, PoolTimeout):
        return True
    cause = error.orig if isinstance(error, DBAPIError) else error
    if not isinstance(cause, psycopg.OperationalError | psycopg.InterfaceError):
        return False
    return cause.sqlstate is None or cause.sqlstate.startswith(_AWAY)


def first_line(error: Exception) -> str:
    """What the database or its driver said, without SQLAlchemy's statement and values."""
    cause = error.orig if isinstance(error, DBAPIError) else error
    return str(cause).strip().partition("\n")[0]


_DIALECT: Final = "postgresql+psycopg://"
"""SQLAlchemy only gets the dialect. `db.url` tells psycopg where the database is."""

_LIMIT: Final = (
    "SELECT set_config(name, CASE name WHEN 'lock_timeout' THEN '10s' ELSE %(idle)s END, false) FROM pg_settings "
    "WHERE name IN ('lock_timeout', 'idle_in_transaction_session_timeout') "
    "AND source IN ('default', 'configuration file')"
)
"""A transaction that a frozen process leaves open would block vacuum and hold rows. Timeouts that the URL, the role or
the database sets stay. They are not sent as `options`, because those replace the URL's and PgBouncer refuses them."""


def _limit(engine: Engine, url: DatabaseUrl, idle_seconds: int) -> None:
    """Set the timeouts of each new connection, where it keeps a session of its own."""
    if url.pooled:
        return

    @event.listens_for(engine, "connect")
    def _set(connection: Any, _: ConnectionPoolEntry) -> None:
        cursor = connection.cursor()
        cursor.execute(_LIMIT, {"idle": f"{idle_seconds}s"})
        cursor.close()
        connection.commit()


_IDLE_WORKER = 10
"""Seconds. Workers and the dispatcher never pause in a transaction: one that does belongs to a frozen process."""
_IDLE_API = 60
"""Seconds. A busy event loop may pause between two statements of a submit."""
_RECYCLE = 1800
_POOL_SECONDS = 5
"""How long a request waits for a connection of the pool: an early 503 is better than a late one."""


def sync_engine(database_url: str, pool_size: int = 4) -> Engine:
    """An engine for workers, the dispatcher and command lines. READ COMMITTED, pooled, checked before use."""
    url = read_database_url(database_url)
    engine = create_engine(
        _DIALECT,
        pool_size=pool_size,
        max_overflow=2,
        pool_pre_ping=True,  # a connection that died is replaced before it is used
        pool_recycle=_RECYCLE,
        connect_args=url.arguments(),
    )
    _limit(engine, url, _IDLE_WORKER)
    return engine


def single_connection_engine(database_url: str) -> Engine:
    """An engine for a command: no pool, and no limit on how long a statement takes."""
    return create_engine(_DIALECT, poolclass=NullPool, connect_args=read_database_url(database_url).arguments())


def single_statements(engine: Engine) -> Engine:
    """The same pool in autocommit, for transactions of one statement.

    It saves BEGIN and COMMIT, and a process that freezes cannot leave a transaction open.
    """
    return engine.execution_options(isolation_level="AUTOCOMMIT")


def async_engine(database_url: str, pool_size: int = 8, role: str | None = None) -> AsyncEngine:
    """The same for the front door's event loop. With `role` its transactions see what `db.own_rows` says."""
    url = read_database_url(database_url)
    cursors = {} if role is None else {"cursor_factory": cursor_as(role)}
    engine = create_async_engine(
        _DIALECT,
        pool_size=pool_size,
        max_overflow=4,
        pool_pre_ping=True,
        pool_timeout=_POOL_SECONDS,
        pool_recycle=_RECYCLE,
        connect_args={**url.arguments(), **cursors},
    )
    _limit(engine.sync_engine, url, _IDLE_API)
    return engine


def listener(database_url: str) -> psycopg.Connection[Any] | None:
    """A connection in autocommit that may LISTEN. None behind a pooler that cannot pass notifications on."""
    url = read_database_url(database_url)
    return None if url.pooled else psycopg.connect(**url.arguments(), autocommit=True)
