"""Roles that our commands make: that of the API, and one for an autoscaler."""

import io
from collections.abc import Iterator

import psycopg
import pytest
from sqlalchemy import make_url

from db.autoscaler import main
from db.engine import sync_engine
from db.migrate import migrate
from deploy.local.postgres import APPLICATION
from deploy.local.stores import Stores
from tests.jobs import submit

ASKED = "SELECT wanted_workers('null')"


@pytest.fixture
def superuser(database: str, stores: Stores) -> Iterator[psycopg.Connection]:
    """In the test's database. Removes the roles of the test."""
    url = make_url(stores.superuser_url).set(drivername="postgresql", database=make_url(database).database)
    with psycopg.connect(url.render_as_string(hide_password=False), autocommit=True) as connection:
        yield connection
        connection.execute(f"ALTER ROLE {APPLICATION} NOCREATEROLE")
        for role in ("new_api", "scaler"):
            if connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [role]).fetchone():
                connection.execute(f"DROP OWNED BY {role}; DROP ROLE {role}")


def answer(database: str, password: str, statement: str = ASKED) -> object:
    url = make_url(database).set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(url, user="scaler", password=password) as connection:
        return connection.execute(statement).fetchone()


def run(monkeypatch: pytest.MonkeyPatch, password: str) -> int:
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{password}\n"))
    return main(["scaler"])


def test_a_migration_makes_the_role_of_the_api_where_it_may(database: str, superuser: psycopg.Connection) -> None:
    superuser.execute(f"ALTER ROLE {APPLICATION} CREATEROLE")
    migrate(database, "new_api")
    migrate(database, "new_api")  # again
    engine = sync_engine(database)
    submit(engine, ["s3://b/a"])
    with engine.connect() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM jobs").scalar_one() == 1
        connection.exec_driver_sql("SET ROLE new_api")
        assert connection.exec_driver_sql("SELECT count(*) FROM jobs").scalar_one() == 0
    engine.dispose()
    right = "SELECT rolcanlogin, pg_has_role(%s, oid, 'USAGE') FROM pg_roles WHERE rolname = 'new_api'"
    assert superuser.execute(right, [APPLICATION]).fetchone() == (False, False)


def test_an_autoscalers_role_may_ask_and_nothing_else(
    database: str, superuser: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MASKWORKS_DATABASE_URL", database)
    superuser.execute(f"ALTER ROLE {APPLICATION} CREATEROLE")
    assert run(monkeypatch, "first: 100%") == 0 and answer(database, "first: 100%") == (0,)
    assert run(monkeypatch, "second") == 0 and answer(database, "second") == (0,)
    with pytest.raises(psycopg.OperationalError, match="password"):
        answer(database, "first: 100%")
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        answer(database, "second", "SELECT * FROM jobs")


def test_without_the_right_to_make_roles_one_that_is_there_is_granted(
    database: str, superuser: psycopg.Connection, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MASKWORKS_DATABASE_URL", database)
    assert run(monkeypatch, "") == 1 and "stdin" in capsys.readouterr().err
    assert run(monkeypatch, "x") == 1 and "no role 'scaler'" in capsys.readouterr().err
    superuser.execute("CREATE ROLE scaler LOGIN PASSWORD 'of its own'")
    assert run(monkeypatch, "x") == 0 and answer(database, "of its own") == (0,)
