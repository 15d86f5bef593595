"""Times by the database's clock, which is the same for every process."""

from sqlalchemy import ColumnElement, func, literal


def now() -> ColumnElement[object]:
    """The time of the call, not of the transaction's beginning."""
    return func.clock_timestamp()


def seconds(n: float | ColumnElement[float]) -> ColumnElement[object]:
    """An interval."""
    return func.make_interval(0, 0, 0, 0, 0, 0, literal(n) if isinstance(n, float | int) else n)
