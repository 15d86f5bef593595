"""Monthly partitions of `items` and `results`, by the time inside the job's UUIDv7.

A look-up by job reads one partition, and old rows are removed by a DROP. Rows of a month without a partition go into
the default one, so nothing is refused.
"""

from datetime import UTC, datetime
from uuid import UUID

from sqlalchemy import Connection, text

_TABLES = ("items", "results")


def first_uuid(at: datetime) -> UUID:
    """The smallest UUIDv7 of that instant (milliseconds in the top 48 bits)."""
    return UUID(int=int(at.timestamp() * 1000) << 80)


def _month(at: datetime, ahead: int) -> datetime:
    months = at.year * 12 + at.month - 1 + ahead
    return datetime(months // 12, months % 12 + 1, 1, tzinfo=UTC)


def ensure_partitions(connection: Connection) -> None:
    """Make the partitions of this month and the next, unless the default one holds rows of that month."""
    now: datetime = connection.execute(text("SELECT clock_timestamp()")).scalar_one().astimezone(UTC)
    for ahead in (0, 1):
        start, end = _month(now, ahead), _month(now, ahead + 1)
        for table in _TABLES:
            _ensure(connection, table, start, end)


def _ensure(connection: Connection, table: str, start: datetime, end: datetime) -> None:
    name = f"{table}_y{start:%Y}m{start:%m}"
    lo, hi = first_uuid(start), first_uuid(end)
    if connection.execute(text("SELECT to_regclass(:name)"), {"name": name}).scalar_one() is not None:
        return
    crowded = connection.execute(
        text(f"SELECT EXISTS (SELECT 1 FROM {table}_default WHERE job_id >= :lo AND job_id < :hi)"),
        {"lo": lo, "hi": hi},
    ).scalar_one()
    if not crowded:
        connection.execute(text(f"CREATE TABLE {name} PARTITION OF {table} FOR VALUES FROM ('{lo}') TO ('{hi}')"))
        # A partition does not inherit this from its parent. Revision 0003 says why.
        connection.execute(text(f"ALTER TABLE {name} ALTER COLUMN job_id SET STATISTICS 0"))
