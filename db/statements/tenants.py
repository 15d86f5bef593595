"""Statements on tenants, which own jobs and keys. The first, `default`, comes with the database."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Select, func, insert, select, update

from db.statements.bound import Bound, bound
from db.statements.clock import now
from db.tables import api_keys, tenants


def insert_tenant(name: str, values: Mapping[str, Any] | None = None) -> Bound:
    """Raises IntegrityError, once run, if there is a tenant of that name."""
    return bound(insert(tenants).values(id=name, **(values or {})))


def change_tenant(name: str, values: Mapping[str, Any]) -> Bound:
    """No row: there is no such tenant."""
    return bound(update(tenants).where(tenants.c.id == name).values(**values).returning(tenants.c.id))


def list_tenants() -> Bound:
    """Every tenant, oldest first, with how many of its keys are valid."""
    return bound(_tenants().order_by(tenants.c.created_at, tenants.c.id))


def tenant_row(name: str) -> Bound:
    """The same of one tenant. No row: there is none of that name."""
    return bound(_tenants().where(tenants.c.id == name))


def _tenants() -> Select[Any]:
    valid = func.count(api_keys.c.prefix).filter(
        api_keys.c.revoked_at.is_(None), func.coalesce(api_keys.c.expires_at > now(), True)
    )
    limits = (tenants.c.weight, tenants.c.max_open_items, tenants.c.requests_per_minute, tenants.c.places)
    return (
        select(tenants.c.id, *limits, valid.label("valid_keys"), tenants.c.created_at)
        .select_from(tenants.outerjoin(api_keys, api_keys.c.tenant_id == tenants.c.id))
        .group_by(tenants.c.id)
    )
