"""The register of live workers: one row for each model that a process has loaded."""

from collections.abc import Collection
from dataclasses import asdict, dataclass, field
from typing import Any, Final

from sqlalchemy import ARRAY, ColumnElement, Select, Text, TextClause, bindparam, func, select, text
from sqlalchemy.dialects.postgresql import JSONB, UUID

from db.queues import PROTOCOL
from db.statements.bound import Bound, bound
from db.statements.clock import now, seconds
from db.tables import jobs, workers

LIVE: Final[ColumnElement[bool]] = workers.c.seen_at > now() - seconds(30)
"""A worker is live if it has signed within the last half minute."""


@dataclass(frozen=True)
class Report:
    """What a process says of itself. The figures of the GPU are of the whole device, whoever uses it."""

    rss_bytes: int | None = None
    gpu_name: str | None = None
    gpu_used_bytes: int | None = None
    gpu_total_bytes: int | None = None
    images_per_second: float | None = None
    calls: int | None = None
    work: list[dict[str, Any]] | None = None
    """The chunks that it has: `job_id`, `chunk_no`, and for how many `seconds`. Clocks of hosts differ."""


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
    report: Report = field(default_factory=Report)


def sign(loaded: list[Registration]) -> Bound:
    """A worker's sign of life, for every model it has loaded."""
    rows = [asdict(each) for each in loaded]
    return Bound(_SIGN, [{**row, **row.pop("report")} for row in rows])


_SIGN: Final[TextClause] = text(
    """
    INSERT INTO workers (id, model, model_revision, device, precision, slots, tasks, protocol,
      rss_bytes, gpu_name, gpu_used_bytes, gpu_total_bytes, images_per_second, calls, work)
    VALUES (:id, :model, :model_revision, :device, :precision, :slots, :tasks, :protocol,
      :rss_bytes, :gpu_name, :gpu_used_bytes, :gpu_total_bytes, :images_per_second, :calls, :work)
    ON CONFLICT (id, model) DO UPDATE SET seen_at = clock_timestamp(), tasks = excluded.tasks,
      rss_bytes = excluded.rss_bytes, gpu_name = excluded.gpu_name, gpu_used_bytes = excluded.gpu_used_bytes,
      gpu_total_bytes = excluded.gpu_total_bytes, images_per_second = excluded.images_per_second,
      calls = excluded.calls, work = excluded.work
    """
).bindparams(bindparam("work", type_=JSONB(none_as_null=True)))


def sign_off(worker: str) -> Bound:
    """A worker leaves."""
    return bound(_SIGN_OFF, id=worker)


_SIGN_OFF: Final[TextClause] = text("DELETE FROM workers WHERE id = :id")


def forget_workers() -> Bound:
    """Drop those that have not signed for an hour: they ended without signing off."""
    return bound(_FORGET_WORKERS)


_FORGET_WORKERS: Final[TextClause] = text("DELETE FROM workers WHERE seen_at < clock_timestamp() - interval '1 hour'")


def live_workers(tenant: str) -> Bound:
    """Live workers, by model, oldest first. `own_work` are their chunks of this tenant; `chunks` counts all."""
    return bound(_LIVE_WORKERS, tenant=tenant)


def _own_work() -> Select[Any]:
    chunk = func.jsonb_array_elements(workers.c.work).table_valued("value").render_derived()
    job = jobs.c.id == chunk.c.value.op("->>")("job_id").cast(UUID)
    return (
        select(func.jsonb_agg(chunk.c.value, type_=JSONB))
        .select_from(chunk.join(jobs, job))
        .where(jobs.c.tenant_id == bindparam("tenant"))
        .correlate(workers)
    )


_LIVE_WORKERS: Final = (
    select(
        workers,
        func.jsonb_array_length(workers.c.work).label("chunks"),
        _own_work().scalar_subquery().label("own_work"),
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
