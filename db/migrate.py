"""`python -m db.migrate`: bring the database to the newest revision. Safe to run many times, and at once.

Reads MASKWORKS_DATABASE_URL and MASKWORKS_API_ROLE. An advisory lock makes the second of two runs wait. It then finds
nothing to do.

The previous release keeps running on the new revision. So a revision only adds tables, columns with defaults and
indexes. What the new release no longer uses is dropped one release later.
"""

import sys
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text

from db.api_role import NoSuchRole, set_up
from db.configuration import MigrateSettings, operator_errors, read_settings
from db.engine import DATABASE_ERRORS, first_line, single_connection_engine
from db.partitions import ensure_partitions

_LOCK = 0x6D61736B  # "mask"
_LOCK_SECONDS = 5
"""A revision that waits longer for a table fails and can be run again. While it waits behind a long download, every
statement on that table waits behind it."""


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    return config


def head_revision() -> str:
    """The newest revision that this code knows, and the oldest it runs on. Revisions are numbers in order."""
    head = ScriptDirectory.from_config(_config()).get_current_head()
    if head is None:
        raise RuntimeError("db/migrations holds no revision: the installation is incomplete")
    return head


def migrate_connection(connection: Connection, revision: str = "head") -> None:
    """Run every missing revision in the caller's transaction, and make the partitions of this month and the next.

    Raises OperationalError if others hold a table for too long.
    """
    connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
    connection.execute(text(f"SET LOCAL lock_timeout = '{_LOCK_SECONDS}s'"))
    config = _config()
    config.attributes["connection"] = connection
    command.upgrade(config, revision)
    ensure_partitions(connection)


def migrate(database_url: str, api_role: str | None = None) -> None:
    """Bring the database at `database_url` to the newest revision, and set up the API's own role if it has one.

    Raises what the database raises, and NoSuchRole.
    """
    engine = single_connection_engine(database_url)
    with engine.begin() as connection:
        migrate_connection(connection)
        if api_role is not None:
            set_up(connection, api_role)
    engine.dispose()


def main() -> int:
    with operator_errors():
        settings = read_settings(MigrateSettings)
    try:
        migrate(settings.database_url, settings.api_role)
    except NoSuchRole as error:
        print(error, file=sys.stderr)
        return 1
    except DATABASE_ERRORS as error:
        print(f"the database failed: {first_line(error)}", file=sys.stderr)
        return 1
    print(f"database is at revision {head_revision()}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
