"""The form of every statement: a function that takes the values and returns what `execute` takes, sync or async.

    connection.execute(*claim(job_id, chunk_no, worker="a", lease_seconds=30))

A statement that runs often is built once, as a private constant of its file. SQLAlchemy keeps its cache key with it.
A copy that holds the values (`Select.params`, `TextClause.bindparams`) needs a new key at every call, and INSERT,
UPDATE and DELETE do not offer one.
"""

from typing import Any, NamedTuple

from sqlalchemy import Executable


class Bound(NamedTuple):
    """A statement and its values: one dict, or one dict for each row to write."""

    statement: Executable
    values: dict[str, Any] | list[dict[str, Any]]


def bound(statement: Executable, /, **values: Any) -> Bound:
    """A statement with one value for each of its parameters."""
    return Bound(statement, values)
