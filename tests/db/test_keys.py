import hashlib
import hmac
import io
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import Engine, create_engine, func, make_url, select, update
from sqlalchemy.pool import NullPool

from db import api_key
from db.keys import main
from db.statements.keys import insert_key, key_row, valid_key
from db.statements.tenants import insert_tenant
from db.tables import api_keys
from deploy.local.stores import Stores

PEPPER = "pepper"


@pytest.fixture
def engine(database: str) -> Iterator[Engine]:
    engine = create_engine(database, poolclass=NullPool)
    yield engine
    engine.dispose()


def run(database: str, *words: str) -> subprocess.CompletedProcess[str]:
    """The command in this process: it starts no Python."""
    out, err = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
        patch.setenv("MASKWORKS_DATABASE_URL", database)
        patch.setenv("MASKWORKS_KEY_PEPPER", PEPPER)
        try:
            code = main(words)
        except SystemExit as ended:
            code = ended.code if isinstance(ended.code, int) else 1
    return subprocess.CompletedProcess(words, code, out.getvalue(), err.getvalue())


def test_a_key_reads_back() -> None:
    key = api_key.new_key()
    assert re.fullmatch(r"mw_[0-9a-f]{12}_[A-Za-z0-9_-]{43}", str(key))
    assert api_key.read_key(str(key)) == key
    assert key.secret not in repr(key)
    assert len({str(api_key.new_key()) for _ in range(100)}) == 100


@pytest.mark.parametrize("text", ["", "mw", "mw_", "mw_abc", "mw_abc_", "mw__x", "xx_abc_def", "mw_a\0_b", "mw_ä_b"])
def test_what_is_no_key(text: str) -> None:
    assert api_key.read_key(text) is None


def test_a_secret_is_stored_as_its_hmac() -> None:
    key = api_key.new_key()
    digest = api_key.digest(PEPPER, key.secret)
    assert digest == hmac.new(b"pepper", key.secret.encode(), hashlib.sha256).digest()
    assert api_key.verified(PEPPER, key, digest)
    assert not api_key.verified("another pepper", key, digest)
    assert not api_key.verified(PEPPER, api_key.ApiKey(key.prefix, key.secret[:-1]), digest)


def test_create_prints_the_key_and_nothing_else(database: str, engine: Engine) -> None:
    env = {**os.environ, "MASKWORKS_DATABASE_URL": database, "MASKWORKS_KEY_PEPPER": PEPPER}
    command = [sys.executable, "-m", "db.keys", "create", "--name", "laptop"]
    made = subprocess.run(command, env=env, capture_output=True, text=True, timeout=60, check=False)
    assert (made.returncode, made.stderr) == (0, "")
    assert made.stdout.count("\n") == 1
    key = api_key.read_key(made.stdout.strip())
    assert key is not None
    with engine.connect() as connection:
        row = connection.execute(*valid_key(key.prefix)).one()
        stored = connection.execute(select(api_keys)).one()
    assert row.tenant_id == "default" and api_key.verified(PEPPER, key, row.digest)
    assert key.secret.encode() not in stored.digest and stored.name == "laptop"


def test_list_shows_no_secret(database: str) -> None:
    made = run(database, "create", "--name", "laptop").stdout.strip()
    listed = run(database, "list")
    key = api_key.read_key(made)
    assert key is not None and listed.returncode == 0
    assert key.prefix in listed.stdout and key.secret not in listed.stdout
    assert "laptop" in listed.stdout and "valid" in listed.stdout


def test_a_revoked_key_is_no_longer_valid(database: str, engine: Engine) -> None:
    made = run(database, "create", "--name", "laptop").stdout.strip()
    key = api_key.read_key(made)
    assert key is not None
    assert run(database, "revoke", key.prefix).returncode == 0
    with engine.connect() as connection:
        assert connection.execute(*valid_key(key.prefix)).first() is None
    again = run(database, "revoke", key.prefix)
    assert again.returncode == 1 and key.prefix in again.stderr
    assert "revoked" in run(database, "list").stdout


def test_an_expired_key_is_no_longer_valid(engine: Engine) -> None:
    key = api_key.new_key()
    with engine.begin() as connection:
        connection.execute(*insert_key(key, pepper=PEPPER, name="short", tenant="default"))
        assert connection.execute(*valid_key(key.prefix)).first() is not None
        connection.execute(update(api_keys).values(expires_at=func.clock_timestamp()))
        assert connection.execute(*valid_key(key.prefix)).first() is None


def test_an_unknown_tenant_is_named(database: str) -> None:
    made = run(database, "create", "--name", "x", "--tenant", "nobody")
    assert (made.returncode, made.stdout) == (1, "") and "`python -m db.tenants create nobody`" in made.stderr


def test_a_rotated_key_stays_valid_for_the_overlap(database: str, engine: Engine) -> None:
    words = ("--scopes", "jobs:read,segment", "--expires", "30d")
    old = api_key.read_key(run(database, "create", "--name", "laptop", *words).stdout.strip())
    assert old is not None
    new = api_key.read_key(run(database, "rotate", old.prefix, "--overlap", "2h").stdout.strip())
    assert new is not None and new.prefix != old.prefix
    rows = {row["prefix"]: row for row in json.loads(run(database, "list", "--json").stdout)}
    assert {row["name"] for row in rows.values()} == {"laptop"}
    assert {tuple(row["scopes"]) for row in rows.values()} == {("jobs:read", "segment")}
    assert {row["state"] for row in rows.values()} == {"valid"}
    left = datetime.fromisoformat(rows[old.prefix]["expires_at"]) - datetime.now(UTC)
    assert timedelta(hours=1) < left <= timedelta(hours=2)
    lives = datetime.fromisoformat(rows[new.prefix]["expires_at"]) - datetime.now(UTC)
    assert timedelta(days=29) < lives <= timedelta(days=30)  # as long as the old one was made to live
    last = api_key.read_key(run(database, "rotate", new.prefix, "--overlap", "0s", "--expires", "never").stdout.strip())
    assert last is not None
    with engine.connect() as connection:
        assert connection.execute(*valid_key(new.prefix)).first() is None
        assert connection.execute(*valid_key(old.prefix)).first() is not None
        assert connection.execute(*key_row(last.prefix)).one().lifetime is None
    again = run(database, "rotate", new.prefix)
    assert again.returncode == 1 and again.stderr.startswith("no valid key has the prefix")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--scopes", "jobs:all"), "no scope 'jobs:all'"),
        (("--scopes", ","), "at least one"),
        (("--expires", "1y"), "no duration"),
    ],
)
def test_a_wrong_option_is_named(database: str, words: tuple[str, str], said: str) -> None:
    made = run(database, "create", "--name", "x", *words)
    assert (made.returncode, made.stdout) == (2, "") and said in made.stderr


def test_a_key_belongs_to_its_tenant(database: str, engine: Engine) -> None:
    with engine.begin() as connection:
        connection.execute(*insert_tenant("other"))
    key = api_key.read_key(run(database, "create", "--name", "x", "--tenant", "other").stdout.strip())
    assert key is not None
    with engine.connect() as connection:
        assert connection.execute(*valid_key(key.prefix)).one().tenant_id == "other"


def test_a_database_without_tables_is_one_line(stores: Stores) -> None:
    url = make_url(stores.superuser_url).set(database="postgres").render_as_string(hide_password=False)
    listed = run(url, "list")
    assert listed.returncode == 1
    assert listed.stderr.startswith("the database failed: relation") and listed.stderr.count("\n") == 1
