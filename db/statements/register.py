"""The register of live workers: one row for each model that a process has loaded."""

from collections.abc import Collection
from dataclasses import asdict, dataclass
from typing import Final

from sqlalchemy import ARRAY, ColumnElement, Text, TextClause, bindparam, select, text

from db.queues import PROTOCOL
from db.statements.bound import Bound, bound
from db.statements.clock import now, seconds
from db.tables import workers

LIVE: Final[ColumnElement[bool]] = workers.c.seen_at > now() - seconds(30)
"""A worker is live if it has signed within the last half minute."""


@dataclass(frozen=True)
class Registration:
    """A model that a worker has loaded, how many chunks it works on at a time, and what it knows of tasks."""

    id: str
    model: str
    model_revision: str
    device: str
    precision: str
    slots: int
    tasks: list[str]
    protocol: int = PROTOCOL


def sign(loaded: list[Registration]) -> Bound:
    """A worker's sign of life, for every model it has loaded."""
    return Bound(_SIGN, [asdict(each) for each in loaded])


_SIGN: Final[TextClause] = text(
    """
    INSERT INTO workers (id, model, model_revision, device, precision, slots, tasks, protocol)
    VALUES (:id, :model, :model_revision, :device, :precision, :slots, :tasks, :protocol)
    ON CONFLICT (id, model) DO UPDATE SET seen_at = clock_timestamp(), tasks = excluded.tasks
    """
)


def sign_off(worker: str) -> Bound:
    """A worker leaves."""
    return bound(_SIGN_OFF, id=worker)


_SIGN_OFF: Final[TextClause] = text("DELETE FROM workers WHERE id = :id")


def forget_workers() -> Bound:
    """Drop those that have not signed for an hour: they ended without signing off."""
    return bound(_FORGET_WORKERS)


_FORGET_WORKERS: Final[TextClause] = text("DELETE FROM workers WHERE seen_at < clock_timestamp() - interval '1 hour'")


def live_workers() -> Bound:
    """Live workers, by model, oldest first."""
    return bound(_LIVE_WORKERS)


_LIVE_WORKERS: Final = (
    select(
        *(workers.c.model, workers.c.model_revision, workers.c.device, workers.c.precision),
        *(workers.c.slots, workers.c.tasks),
    )
    .where(LIVE)
    .order_by(workers.c.model, workers.c.loaded_at)
)


def serving(model: str, tasks: Collection[str]) -> Bound:
    """A row if a live worker serves all these tasks with the model."""
    return bound(_SERVING, of_model=model, needed=list(tasks))


_NEEDED: Final = bindparam("needed", type_=ARRAY(Text))
_SERVING: Final = (
    select(workers.c.id)
    .where(workers.c.model == bindparam("of_model"), workers.c.tasks.op("@>")(_NEEDED), LIVE)
    .limit(1)
)
