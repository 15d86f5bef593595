"""`python -m db.autoscaler ROLE`: a role that may ask how many workers are wanted, and nothing else.

It reads the role's password from stdin. It makes the role, or gives it this password, and grants it the function that
autoscalers call. Run it after `python -m db.migrate`. Settings come from the environment: MASKWORKS_DATABASE_URL.
"""

import argparse
import sys
from collections.abc import Sequence
from typing import Final

import psycopg
from psycopg import sql
from sqlalchemy import Connection, text

from db.command import Refused, run
from db.roles import exists, may_create

_FUNCTION: Final = "wanted_workers(text, double precision, double precision)"
_CONNECTIONS: Final = 20
"""KEDA has one for each model."""


def let_ask(connection: Connection, role: str, password: str) -> str:
    """Raises Refused where the role is not there and ours may not make it."""
    there = exists(connection, role)
    if may_create(connection):
        _log_in(connection, role, password, "ALTER" if there else "CREATE")
    elif not there:
        raise Refused(f"there is no role {role!r}, and ours may not make it: docs/operations.md, Scaling, has the SQL")
    named = connection.dialect.identifier_preparer.quote(role)
    connection.execute(text(f"GRANT EXECUTE ON FUNCTION {_FUNCTION} TO {named}"))
    return f"{role} may ask for wanted workers"


def _log_in(connection: Connection, role: str, password: str, verb: str) -> None:
    """Sends a SCRAM verifier, so that no log of the server can have the password."""
    driver = connection.connection.driver_connection
    assert isinstance(driver, psycopg.Connection)
    verifier = driver.pgconn.encrypt_password(password.encode(), role.encode(), b"scram-sha-256").decode()
    statement = sql.SQL(f"{verb} ROLE {{}} LOGIN PASSWORD {{}} CONNECTION LIMIT {{}}")
    driver.execute(statement.format(sql.Identifier(role), sql.Literal(verifier), sql.Literal(_CONNECTIONS)))


def main(words: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m db.autoscaler", description=__doc__)
    parser.add_argument("role", metavar="ROLE", help="its name, for example keda")
    options = parser.parse_args(words)
    password = sys.stdin.readline().strip()
    if not password:
        print("the role's password is read from stdin, and there was none", file=sys.stderr)
        return 1
    return run(lambda connection: let_ask(connection, options.role, password))


if __name__ == "__main__":
    sys.exit(main())
