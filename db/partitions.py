"""Monthly partitions of `items` and `results`, by the time inside the job's UUIDv7.

A look-up by job reads one partition, and old rows are removed by a DROP. Rows of a month without a partition go into
the default one, so nothing is refused.
"""

import re
from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import UUID

from sqlalchemy import Connection, text

_TABLES = ("items", "results")
_NAME: Final = re.compile(r"(?:items|results)_y(\d{4})m(\d{2})")
_LATE: Final = timedelta(days=1)
"""Clocks of submitting processes may be wrong by less than this."""


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


def past_months(connection: Connection) -> list[datetime]:
    """Months that have a partition and are over: no new job's id falls into them."""
    now: datetime = connection.execute(text("SELECT clock_timestamp()")).scalar_one()
    names = connection.execute(text("SELECT relname FROM pg_class WHERE relispartition AND relkind = 'r'")).scalars()
    found = {datetime(int(m[1]), int(m[2]), 1, tzinfo=UTC) for name in names if (m := _NAME.fullmatch(name))}
    return sorted(month for month in found if _month(month, 1) + _LATE < now)


def drop_month(connection: Connection, month: datetime, *, lock_seconds: float) -> bool:
    """Drop the partitions of a past month, unless a tenant has a job of it. Returns whether they are dropped.

    For a moment this locks both tables against everybody. It waits for that lock for so long, and then raises.
    """
    kept = "SELECT EXISTS (SELECT FROM jobs WHERE id >= :lo AND id < :hi AND tenant_id IS NOT NULL)"
    ids = {"lo": first_uuid(month), "hi": first_uuid(_month(month, 1))}
    if connection.execute(text(kept), ids).scalar_one():
        return False
    connection.execute(text("SELECT set_config('lock_timeout', :limit, true)"), {"limit": f"{lock_seconds}s"})
    for table in _TABLES:
        connection.execute(text(f"DROP TABLE IF EXISTS {table}_y{month:%Y}m{month:%m}"))
    return True
