"""Monthly partitions of `items` and `results`, by the time inside the job's UUIDv7.

The key holds, a look-up by job prunes to one partition, and retention is a DROP. A row whose month has no partition
lands in the default one: nothing is refused because nobody made a partition in time.
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
    """Make the partitions of next month, and of this one where the default holds nothing of it yet."""
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
        # As the parent has it, from which it is not taken over; revision 0003 says why.
        connection.execute(text(f"ALTER TABLE {name} ALTER COLUMN job_id SET STATISTICS 0"))
