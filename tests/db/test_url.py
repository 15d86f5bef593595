"""The database URL: every client reads it the same way, or it is refused with what to write instead."""

import re
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import make_url, text

from db.engine import async_engine, listener, single_connection_engine, sync_engine
from db.migrate import migrate
from db.url import BadDatabaseUrl, read_database_url
from deploy.local.stores import Stores

PASSWORD = "a b+c@d/e:f?g%h#i"
ENCODED = "a%20b+c%40d%2Fe%3Af%3Fg%25h%23i"


async def _through_all(url: str, question: str) -> list[object]:
    """One value from each way in which this project connects."""
    found: list[object] = []
    for engine in (sync_engine(url), single_connection_engine(url)):
        with engine.connect() as connection:
            found.append(connection.execute(text(question)).scalar_one())
        engine.dispose()
    front = async_engine(url)
    async with front.connect() as asked:
        found.append((await asked.execute(text(question))).scalar_one())
    await front.dispose()
    if (listening := listener(url)) is not None:
        with listening:
            found.append(listening.execute(question).fetchone()[0])  # type: ignore[index]
    return found


def _ask(url: str, question: str) -> set[object]:
    import asyncio

    found = asyncio.run(_through_all(url, question))
    assert len(found) == (3 if "pool_mode=transaction" in url else 4)
    return set(found)


@pytest.fixture
def where(database: str, stores: Stores) -> str:
    """`host:port/name` of a database that a user with an unwieldy password may use."""
    url = make_url(stores.superuser_url)
    parsed = make_url(database)
    with psycopg.connect(url.set(drivername="postgresql").render_as_string(hide_password=False)) as connection:
        connection.execute("DROP ROLE IF EXISTS unwieldy")
        connection.execute(f"CREATE ROLE unwieldy LOGIN PASSWORD '{PASSWORD}'")
    return f"{parsed.host}:{parsed.port}/{parsed.database}"


@pytest.mark.parametrize("scheme", ["postgresql", "postgres", "postgresql+psycopg"])
def test_any_password_works_for_all_clients(where: str, scheme: str) -> None:
    assert _ask(f"{scheme}://unwieldy:{ENCODED}@{where}", "SELECT current_user::text") == {"unwieldy"}


def test_options_of_the_url_stand_beside_ours(database: str) -> None:
    url = f"{database}?options=-c%20application_name%3Dmine%20-c%20lock_timeout%3D1234"
    question = "SELECT current_setting('application_name') || current_setting('lock_timeout')"
    assert _ask(url, question) == {"mine1234ms"}
    engine = sync_engine(url)
    with engine.connect() as connection:
        setting = text("SELECT current_setting('idle_in_transaction_session_timeout')")
        assert connection.execute(setting).scalar_one() == "10s"
    engine.dispose()


def test_limits_hold_where_the_url_says_nothing(database: str) -> None:
    engine = sync_engine(database)
    with engine.connect() as connection:
        shown = text("SELECT current_setting('lock_timeout'), current_setting('idle_in_transaction_session_timeout')")
        assert tuple(connection.execute(shown).one()) == ("10s", "10s")
    engine.dispose()


def test_the_second_of_several_hosts_is_found(database: str) -> None:
    url = database.replace("@127.0.0.1", "@127.0.0.1:9,127.0.0.1")
    assert _ask(url, "SELECT 42") == {42}


def test_a_service_file_is_read(database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    parsed = make_url(database)
    lines = ["[mine]", f"host={parsed.host}", f"port={parsed.port}", f"dbname={parsed.database}"]
    lines += [f"user={parsed.username}", f"password={parsed.password}"]
    (tmp_path / "services").write_text("\n".join(lines))
    monkeypatch.setenv("PGSERVICEFILE", str(tmp_path / "services"))
    assert _ask("postgresql:///?service=mine", "SELECT current_database()::text") == {parsed.database}


def test_migrations_read_it_too(new_database: Callable[[], str]) -> None:
    migrate(new_database().replace("postgresql+psycopg", "postgres"))


def test_a_timeout_of_the_url_wins() -> None:
    arguments = read_database_url("postgresql://u:p@h/d?connect_timeout=30").arguments()
    assert (arguments["connect_timeout"], arguments["keepalives_idle"]) == ("30", "10")


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("", "is no URL of Postgres"),
        ("host=localhost dbname=x", "is no URL of Postgres"),
        ("mysql://u:secret@h/d", "is no URL of Postgres"),
        ("postgresql+asyncpg://u:secret@h/d", "is no URL of Postgres"),
        ("postgresql://u:secret word@h/d", "write a space as %20"),
        ("postgresql://u:secret@word@h/d", "write an @ in a user's name or password as %40"),
        ("postgresql://u:secret/word@h/d", "port that is no number"),
        ("postgresql://u:secret%zz@h/d", "cannot be read: invalid percent-encoded token"),
        ("postgresql://u:secret@h:99999/d", "port that is no number"),
        ("postgresql://u:secret@h/d?sslmod=require", 'invalid URI query parameter: "sslmod"'),
        ("postgresql://u:secret@/d?host=a:1&host=b:2", "gives host twice"),
        ("postgresql://u:secret@h/d?pool_mode=statement", "pool_mode other than session or transaction"),
    ],
)
def test_what_cannot_be_used_is_refused_without_the_password(url: str, why: str) -> None:
    with pytest.raises(BadDatabaseUrl, match=re.escape(why)) as refusal:
        read_database_url(url)
    assert "secret" not in str(refusal.value) and "\n" not in str(refusal.value)


def test_behind_a_transaction_pooler_nothing_is_kept_in_a_session(database: str) -> None:
    url = f"{database}?pool_mode=transaction"
    assert listener(url) is None
    assert _ask(url, "SELECT current_setting('lock_timeout')") == {"0"}
    engine = sync_engine(url)
    with engine.connect() as connection:
        for _ in range(20):
            connection.execute(text("SELECT 1"))
        assert connection.execute(text("SELECT count(*) FROM pg_prepared_statements")).scalar_one() == 0
    engine.dispose()
