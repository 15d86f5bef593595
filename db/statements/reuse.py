"""Statements that find an earlier result and take it over."""

from collections.abc import Sequence
from typing import Any, Final, NamedTuple
from uuid import UUID

from sqlalchemy import ARRAY, BigInteger, Integer, bindparam, column, func, select
from sqlalchemy.dialects.postgresql import JSONB, insert
from sqlalchemy.dialects.postgresql import UUID as UUID_TYPE

from db.statements.bound import Bound, bound
from db.states import ResultState
from db.tables import jobs, results


def earlier(tenant: str, fingerprint: bytes) -> Bound:
    """The newest result of this tenant with this fingerprint."""
    return bound(_EARLIER, tenant=tenant, fingerprint=fingerprint)


# Materialized: with the LIMIT in sight, Postgres may choose to read the table by another index until one turns up.
_FOUND: Final = (
    select(results.c.job_id, results.c.index.label("result_index"))
    .where(results.c.fingerprint == bindparam("fingerprint"), results.c.state == ResultState.SUCCEEDED)
    .cte("found")
    .prefix_with("MATERIALIZED", dialect="postgresql")
)
_EARLIER: Final = (
    select(_FOUND.c.job_id, _FOUND.c.result_index)
    .join(jobs, jobs.c.id == _FOUND.c.job_id)
    .where(jobs.c.tenant_id == bindparam("tenant"))
    .order_by(_FOUND.c.job_id.desc(), _FOUND.c.result_index)
    .limit(1)
)


class Copy(NamedTuple):
    """A result to take over: for which item of the job, from which result, and what it took to find it."""

    item_index: int
    from_job: UUID
    from_index: int
    timings_ms: dict[str, float]


def copy_results(job_id: UUID, *, fence: int, attempt: int, copies: Sequence[Copy]) -> Bound:
    """Results for these items, in the transaction of `lease.record`. Returns the items that got one.

    An item gets none if the earlier result was deleted meanwhile.
    """
    return bound(
        _COPY,
        of_job=job_id,
        with_fence=fence,
        with_attempt=attempt,
        items=[copy.item_index for copy in copies],
        from_jobs=[copy.from_job for copy in copies],
        from_items=[copy.from_index for copy in copies],
        timings=[copy.timings_ms for copy in copies],
    )


_WANTED: Final = (
    func.unnest(
        bindparam("items", type_=ARRAY(Integer)),
        bindparam("from_jobs", type_=ARRAY(UUID_TYPE(as_uuid=True))),
        bindparam("from_items", type_=ARRAY(Integer)),
        bindparam("timings", type_=ARRAY(JSONB)),
    )
    .table_valued(
        column("item_index", Integer),
        column("from_job", UUID_TYPE(as_uuid=True)),
        column("from_index", Integer),
        column("timings_ms", JSONB),
    )
    .render_derived("wanted")
)
_AS_THEY_ARE: Final = (
    *("state", "height", "width", "orientation", "masks", "rle", "codec", "model", "model_revision", "precision"),
    *("phrases", "scores", "areas", "warnings", "frames", "georeference", "fingerprint"),
)
_NEW: Final[dict[str, Any]] = {
    "job_id": bindparam("of_job", type_=results.c.job_id.type),
    "index": _WANTED.c.item_index,
    "fence": bindparam("with_fence", type_=BigInteger),
    "attempt": bindparam("with_attempt", type_=Integer),
    "timings_ms": _WANTED.c.timings_ms,
    # The item that was computed, also where its result was taken over before.
    "reused_job": func.coalesce(results.c.reused_job, results.c.job_id),
    "reused_index": func.coalesce(results.c.reused_index, results.c.index),
}
_COPY: Final = (
    insert(results)
    .from_select(
        [*_NEW, *_AS_THEY_ARE],
        select(*_NEW.values(), *(results.c[name] for name in _AS_THEY_ARE)).join_from(
            _WANTED, results, (results.c.job_id == _WANTED.c.from_job) & (results.c.index == _WANTED.c.from_index)
        ),
    )
    .returning(results.c.index.label("item_index"))
)
