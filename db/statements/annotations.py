"""Statements on annotations: stored again under their own ids, listed, exported image by image, deleted."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Boolean, ColumnElement, delete, func, literal_column, select, tuple_
from sqlalchemy.dialects.postgresql import insert

from db.statements.bound import Bound, bound
from db.states import AnnotationStage, AnnotationState
from db.tables import annotation_counts, annotations, jobs

PAGE_BYTES: Final = 8 * 1024 * 1024
"""Of run lengths. A page of large masks has fewer rows than asked for, and never none where one is left."""
DELETE_MOST: Final = 5000
"""Annotations that one statement deletes."""
ImageKey = tuple[str, int, int, UUID]
"""Where a page of an export begins: an image, its size, and the last annotation of the page before."""
_KEPT: Final = frozenset({"tenant_id", "id", "created_at"})


@dataclass(frozen=True)
class Filters:
    """Which annotations of a tenant. None: all."""

    states: Collection[AnnotationState] | None = None
    stage: AnnotationStage | None = None
    image_prefix: str | None = None


def store(tenant: str, rows: Sequence[Mapping[str, Any]]) -> Bound:
    """Rows with an `id` that the tenant has take the place of the old ones. Gives `added` for each row.

    In the order of their ids, so that two calls with the same ids wait for each other in one direction.
    """
    new = insert(annotations)
    changed = {column.name: new.excluded[column.name] for column in annotations.c if column.name not in _KEPT}
    statement = new.on_conflict_do_update(index_elements=["tenant_id", "id"], set_=changed)
    added = literal_column("xmax = 0", Boolean).label("added")  # a row that was updated has that transaction there
    ordered = sorted(rows, key=lambda row: row["id"].bytes)
    return Bound(statement.returning(added), [{"tenant_id": tenant, **row} for row in ordered])


def count(tenant: str) -> Bound:
    """How many annotations the tenant has. No row: none yet."""
    return bound(select(annotation_counts.c.n).where(annotation_counts.c.tenant_id == tenant))


def delete_one(tenant: str, id: UUID) -> Bound:
    return bound(delete(annotations).where(annotations.c.tenant_id == tenant, annotations.c.id == id))


def delete_chosen(tenant: str, filters: Filters) -> Bound:
    """The first `DELETE_MOST` of them, by id."""
    own = select(annotations.c.id).where(annotations.c.tenant_id == tenant, *_chosen(filters))
    few = own.order_by(annotations.c.id).limit(DELETE_MOST).scalar_subquery()
    return bound(delete(annotations).where(annotations.c.tenant_id == tenant, annotations.c.id.in_(few)))


def own_jobs(tenant: str, job_ids: Collection[UUID]) -> Bound:
    """Those of the jobs that are the tenant's."""
    return bound(select(jobs.c.id).where(jobs.c.tenant_id == tenant, jobs.c.id.in_(list(job_ids))))


def page(tenant: str, filters: Filters, *, after: UUID | None, limit: int) -> Bound:
    """Annotations by id. `so_far` counts the bytes of the rows before and of the row itself."""
    after_it = () if after is None else (annotations.c.id > after,)
    return _page(tenant, filters, after_it, (annotations.c.id,), limit)


def image_page(tenant: str, filters: Filters, *, after: ImageKey | None, limit: int) -> Bound:
    """Annotations image by image."""
    key = annotations.c.image, annotations.c.height, annotations.c.width, annotations.c.id
    return _page(tenant, filters, () if after is None else (tuple_(*key) > tuple_(*after),), key, limit)


def _page(
    tenant: str,
    filters: Filters,
    more: tuple[ColumnElement[bool], ...],
    order: tuple[ColumnElement[Any], ...],
    limit: int,
) -> Bound:
    chosen = select(annotations).where(annotations.c.tenant_id == tenant, *_chosen(filters), *more)
    few = chosen.order_by(*order).limit(limit).subquery("few")
    by = [few.c[column.name] for column in order]
    size = func.length(few.c.counts)
    so_far = select(few, func.sum(size).over(order_by=by).label("so_far")).subquery("counted")
    within = so_far.c.so_far - func.length(so_far.c.counts) < PAGE_BYTES
    return bound(select(so_far).where(within).order_by(*(so_far.c[column.name] for column in order)))


def _chosen(filters: Filters) -> list[ColumnElement[bool]]:
    found: list[ColumnElement[bool]] = []
    if filters.states is not None:
        found.append(annotations.c.state.in_(list(filters.states)))
    if filters.stage is not None:
        found.append(annotations.c.stage == filters.stage)
    if filters.image_prefix is not None:
        found.append(func.starts_with(annotations.c.image, filters.image_prefix))
    return found
