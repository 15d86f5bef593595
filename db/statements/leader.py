"""Which dispatcher leads, and what wakes it. Several may run; one leads, by the database's clock."""

from typing import Final

from sqlalchemy import TextClause, func, select, text

from db.statements.bound import Bound, bound

WAKE_CHANNEL: Final = "maskworks_wake"
"""The NOTIFY channel that the dispatcher listens to."""


def lead(holder: str, *, lease_seconds: float) -> Bound:
    """Become or stay the leader until the lease ends. No row: somebody else leads."""
    return bound(_LEAD, holder=holder, lease=lease_seconds)


_LEAD: Final[TextClause] = text(
    """
    INSERT INTO leader AS l (role, holder, term, lease_until)
    VALUES ('dispatcher', :holder, 1, clock_timestamp() + make_interval(secs => :lease))
    ON CONFLICT (role) DO UPDATE SET
      holder = excluded.holder, lease_until = excluded.lease_until,
      term = l.term + (l.holder <> excluded.holder)::int
    WHERE l.holder = excluded.holder OR l.lease_until < clock_timestamp()
    RETURNING term
    """
)


def resign(holder: str) -> Bound:
    """Let the next one lead at once."""
    return bound(_RESIGN, holder=holder)


_RESIGN: Final[TextClause] = text("DELETE FROM leader WHERE role = 'dispatcher' AND holder = :holder")


def wake_dispatcher() -> Bound:
    """Wake the leader when this transaction commits: there is a chunk to dispatch, or room for one."""
    return bound(_WAKE)


_WAKE: Final = select(func.pg_notify(WAKE_CHANNEL, ""))
