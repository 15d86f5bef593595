"""How far a job is, how fast it goes, and when it may be done."""

from typing import Any

from pydantic import BaseModel, Field
from sqlalchemy import Row


class Progress(BaseModel):
    fraction: float = Field(description="The share of items that are final; 0 while nothing is listed")
    items_per_second: float | None = Field(
        description="Over the last five minutes; of a job that is done, over its whole run; null before it runs"
    )
    eta_seconds: int | None = Field(
        description="Seconds until it is done, at that rate; null while nothing is finished or the job waits"
    )


def progress_view(row: Row[Any], left: int, *, done: bool, waits: bool) -> Progress:
    """A row of `db.statements.jobs.job`, of which `left` items are not final."""
    fraction = (row.n_items - left) / row.n_items if row.n_items else 0.0
    rate = _rate(row, done)
    eta = round(left / rate) if rate and not waits else None
    return Progress(
        fraction=round(fraction, 4),
        items_per_second=None if rate is None else round(rate, 3),
        eta_seconds=0 if done else eta,
    )


def _rate(row: Row[Any], done: bool) -> float | None:
    """Items a second since the oldest sample. Without one, and once the job is done, since its start."""
    since, before = (row.started_at, 0) if done or row.sampled_at is None else (row.sampled_at, row.sampled_finished)
    if since is None:
        return None
    elapsed = ((row.ended_at if done else row.now) - since).total_seconds()
    return (row.succeeded + row.failed - before) / elapsed if elapsed > 0 else None
