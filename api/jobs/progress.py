"""How far a job is, how fast it goes, and when it may be done."""

from typing import Any

from pydantic import BaseModel, Field
from sqlalchemy import Row


class Tiles(BaseModel):
    """How far the images are that are segmented by windows."""

    items: int = Field(description="Images whose windows are being segmented or merged now")
    done: int = Field(description="Windows of these images that are done")
    total: int = Field(description="All windows of these images")


class Progress(BaseModel):
    fraction: float = Field(
        description="The share of items that are final; 0 while nothing is listed. An image that is segmented by "
        "windows counts by the share of its windows that are done"
    )
    items_per_second: float | None = Field(
        description="Over the last five minutes; of a job that is done, over its whole run; null before it runs"
    )
    eta_seconds: int | None = Field(
        description="Seconds until it is done, at that rate; null while nothing is finished or the job waits"
    )
    tiles: Tiles | None = Field(description="Null where no image is segmented by windows now")


def progress_view(row: Row[Any], left: int, *, done: bool, waits: bool) -> Progress:
    """A row of `db.statements.jobs.job`, of which `left` items are not final."""
    tiles = row.tiles if row.tiles and row.tiles["items"] else None
    part = min(tiles["fraction"], left) if tiles else 0.0
    fraction = (row.n_items - left + part) / row.n_items if row.n_items else 0.0
    rate = _rate(row, done)
    eta = round(left / rate) if rate and not waits else None
    return Progress(
        fraction=round(fraction, 4),
        items_per_second=None if rate is None else round(rate, 3),
        eta_seconds=0 if done else eta,
        tiles=None if tiles is None else Tiles(**{name: tiles[name] for name in ("items", "done", "total")}),
    )


def _rate(row: Row[Any], done: bool) -> float | None:
    """Items a second since the oldest sample. Without one, and once the job is done, since its start."""
    since, before = (row.started_at, 0) if done or row.sampled_at is None else (row.sampled_at, row.sampled_finished)
    if since is None:
        return None
    elapsed = ((row.ended_at if done else row.now) - since).total_seconds()
    return (row.succeeded + row.failed - before) / elapsed if elapsed > 0 else None
