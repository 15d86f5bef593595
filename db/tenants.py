"""Tenants: whose jobs and keys are whose. A key belongs to one; the first, `default`, comes with the database."""

import re
from typing import Any

from sqlalchemy import Insert, Select, func, insert, select

from db.tables import api_keys, tenants

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")


def insert_tenant(name: str) -> Insert:
    """Raises IntegrityError, once run, where there is one of that name."""
    return insert(tenants).values(id=name)


def list_tenants() -> Select[Any]:
    """Every tenant, oldest first, with how many of its keys are valid."""
    valid = func.count(api_keys.c.prefix).filter(
        api_keys.c.revoked_at.is_(None),
        func.coalesce(api_keys.c.expires_at > func.clock_timestamp(), True),
    )
    return (
        select(tenants.c.id, tenants.c.created_at, valid.label("keys"))
        .select_from(tenants.outerjoin(api_keys, api_keys.c.tenant_id == tenants.c.id))
        .group_by(tenants.c.id, tenants.c.created_at)
        .order_by(tenants.c.created_at, tenants.c.id)
    )
