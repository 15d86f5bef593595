"""Errors of the database, and connections that die in the pool."""

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest
from sqlalchemy import Connection, Engine, create_engine, text

from db.engine import (
    DATABASE_ERRORS,
    async_engine,
    is_about_data,
    is_away,
    single_connection_engine,
    single_statements,
    sync_engine,
)


@pytest.fixture
def engine(database: str) -> Iterator[Engine]:
    engine = sync_engine(database, pool_size=1)
    yield engine
    engine.dispose()


def _copy(connection: Connection, *row: object) -> None:
    driver: Any = connection.connection.driver_connection
    with driver.cursor() as cursor, cursor.copy("COPY tenants (id, weight) FROM STDIN") as copy:
        copy.write_row(row)


def _terminated_during_copy(connection: Connection) -> None:
    driver: Any = connection.connection.driver_connection
    with driver.cursor() as cursor, cursor.copy("COPY tenants (id) FROM STDIN") as copy:
        with psycopg.connect(driver.info.dsn, password=driver.info.password, autocommit=True) as other:
            other.execute("SELECT pg_terminate_backend(%s)", (driver.info.backend_pid,))
        for i in range(10_000):
            copy.write_row((f"tenant-{i}" * 100,))


def _executes(sql: str, **parameters: object) -> Callable[[Connection], None]:
    return lambda connection: (connection.execute(text(sql), parameters), None)[1]


@pytest.mark.parametrize(
    ("fails", "about_data", "away"),
    [
        (_executes("SELECT CAST(:a AS integer)", a="x"), True, False),
        (_executes("SELECT CAST(:a AS text)", a="a\x00b"), True, False),
        (_executes("SELECT CAST(:a AS integer)", a=2**40), True, False),
        (_executes("INSERT INTO tenants (id) VALUES ('default')"), True, False),
        (_executes("INSERT INTO tenants (id, weight) VALUES ('a', -1)"), True, False),
        (_executes("SELECT * FROM a_table_of_a_later_migration"), False, False),
        (_executes("SELECT pg_terminate_backend(pg_backend_pid())"), False, True),
        (_executes("SET LOCAL statement_timeout = 1; SELECT pg_sleep(5)"), False, False),
        (lambda connection: _copy(connection, "a\x00b", 1), True, False),
        (lambda connection: _copy(connection, "default", 1), True, False),
        (_terminated_during_copy, False, True),
    ],
)
def test_every_error_is_in_the_set_and_says_what_it_is_about(
    engine: Engine, fails: Callable[[Connection], None], about_data: bool, away: bool
) -> None:
    with pytest.raises(DATABASE_ERRORS) as caught, engine.begin() as connection:
        fails(connection)
    assert (is_about_data(caught.value), is_away(caught.value)) == (about_data, away)


def test_a_full_pool_is_one_of_them(database: str) -> None:
    engine = create_engine(database, pool_size=1, max_overflow=0, pool_timeout=0.1)
    with engine.connect(), pytest.raises(DATABASE_ERRORS) as caught:
        engine.connect()
    assert is_away(caught.value) and not is_about_data(caught.value)
    engine.dispose()


def test_other_errors_are_not_the_databases() -> None:
    assert not is_about_data(ValueError("a")) and not is_away(ValueError("a"))


def test_a_server_that_is_not_there_is_away() -> None:
    with pytest.raises(DATABASE_ERRORS) as caught:
        create_engine("postgresql+psycopg://a:b@127.0.0.1:1/c").connect()
    assert is_away(caught.value)


_BACKEND = text("SELECT pg_backend_pid()")


def _end_backend(database: str, backend: int) -> None:
    with single_connection_engine(database).connect() as other:
        other.execute(text("SELECT pg_terminate_backend(:backend, 5000)"), {"backend": backend})


@pytest.mark.parametrize("mode", [lambda engine: engine, single_statements])
def test_a_connection_that_died_in_the_pool_is_replaced(
    database: str, engine: Engine, mode: Callable[[Engine], Engine]
) -> None:
    with mode(engine).connect() as connection:
        first = connection.execute(_BACKEND).scalar_one()
    _end_backend(database, first)
    with mode(engine).connect() as connection:
        assert connection.execute(_BACKEND).scalar_one() != first


def test_the_front_doors_pool_does_the_same(database: str) -> None:
    async def two_backends() -> set[int]:
        engine = async_engine(database, pool_size=1)
        found = []
        for _ in range(2):
            async with engine.connect() as connection:
                found.append((await connection.execute(_BACKEND)).scalar_one())
            _end_backend(database, found[0])
        await engine.dispose()
        return set(found)

    assert len(asyncio.run(two_backends())) == 2
