"""How much work is left, how fast it goes, and how many workers it wants. The rule is in the database (`work_left`).

An autoscaler asks `wanted_workers`, with a role that may do nothing else. So it cannot drift from the service.
"""

from dataclasses import asdict, dataclass
from typing import Final

from sqlalchemy import TextClause, text

from db.statements.bound import Bound, bound


@dataclass(frozen=True)
class Pace:
    """What a worker has measured: `seconds` of its time for `items` of a model and a type of task."""

    worker: str
    model: str
    task: str
    items: float
    seconds: float


def keep_paces(paces: list[Pace]) -> Bound:
    """A worker's measures, in place of its earlier ones."""
    return Bound(_KEEP_PACES, [asdict(each) for each in paces])


_KEEP_PACES: Final[TextClause] = text(
    """
    INSERT INTO paces (worker, model, task, items, seconds) VALUES (:worker, :model, :task, :items, :seconds)
    ON CONFLICT (worker, model, task) DO UPDATE
      SET items = excluded.items, seconds = excluded.seconds, measured_at = clock_timestamp()
    """
)


def forget_paces() -> Bound:
    """Drop those that are an hour older than the last one of their model and task. The last ones stay for ever."""
    return bound(_FORGET_PACES)


_FORGET_PACES: Final[TextClause] = text(
    """
    DELETE FROM paces p USING (SELECT model, task, max(measured_at) AS at FROM paces GROUP BY model, task) l
    WHERE p.model = l.model AND p.task = l.task AND p.measured_at < l.at - interval '1 hour'
    """
)


def work_left() -> Bound:
    """For each model with open jobs: items, seconds of work, the age of the oldest job, and the wanted workers."""
    return bound(_WORK_LEFT)


_WORK_LEFT: Final[TextClause] = text("SELECT * FROM work_left()")


def known_models() -> Bound:
    """Models that have workers, or had some."""
    return bound(_KNOWN_MODELS)


_KNOWN_MODELS: Final[TextClause] = text("SELECT model FROM paces UNION SELECT model FROM workers")


def unfinished_jobs() -> Bound:
    """How many jobs there are in each state that is not final."""
    return bound(_UNFINISHED_JOBS)


_UNFINISHED_JOBS: Final[TextClause] = text(
    "SELECT state, count(*) AS n FROM jobs WHERE state IN ('ingesting', 'pending', 'running') GROUP BY state"
)


def live_workers(*, alive_seconds: float) -> Bound:
    """How many live workers each model has."""
    return bound(_LIVE_WORKERS, alive=alive_seconds)


_LIVE_WORKERS: Final[TextClause] = text(
    """
    SELECT model, count(*) AS n FROM workers
    WHERE seen_at > clock_timestamp() - make_interval(secs => :alive) GROUP BY model
    """
)
