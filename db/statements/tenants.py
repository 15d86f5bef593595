"""Statements on tenants, which own jobs and keys. The first, `default`, comes with the database."""

from sqlalchemy import func, insert, select

from db.statements.bound import Bound, bound
from db.statements.clock import now
from db.tables import api_keys, tenants


def insert_tenant(name: str) -> Bound:
    """Raises IntegrityError, once run, if there is a tenant of that name."""
    return bound(insert(tenants).values(id=name))


def list_tenants() -> Bound:
    """Every tenant, oldest first, with how many of its keys are valid."""
    valid = func.count(api_keys.c.prefix).filter(
        api_keys.c.revoked_at.is_(None), func.coalesce(api_keys.c.expires_at > now(), True)
    )
    return bound(
        select(tenants.c.id, tenants.c.created_at, valid.label("keys"))
        .select_from(tenants.outerjoin(api_keys, api_keys.c.tenant_id == tenants.c.id))
        .group_by(tenants.c.id, tenants.c.created_at)
        .order_by(tenants.c.created_at, tenants.c.id)
    )
