"""Statements on API keys."""

from typing import Final

from sqlalchemy import bindparam, insert, or_, select, update

from db.api_key import ApiKey, digest
from db.statements.bound import Bound, bound
from db.statements.clock import now
from db.tables import api_keys, tenants


def valid_key(prefix: str) -> Bound:
    """The digest of the key with that prefix, and what its tenant may do. No row: unknown, revoked or expired."""
    return bound(_VALID_KEY, prefix=prefix)


_VALID_KEY: Final = (
    select(api_keys.c.tenant_id, api_keys.c.digest, tenants.c.places)
    .join_from(api_keys, tenants, tenants.c.id == api_keys.c.tenant_id)
    .where(
        api_keys.c.prefix == bindparam("prefix"),
        api_keys.c.revoked_at.is_(None),
        or_(api_keys.c.expires_at.is_(None), api_keys.c.expires_at > now()),
    )
)


def insert_key(key: ApiKey, *, pepper: str, name: str, tenant: str) -> Bound:
    """Raises IntegrityError, once run, if there is no such tenant."""
    stored = digest(pepper, key.secret)
    row = {"prefix": key.prefix, "tenant_id": tenant, "digest": stored, "name": name, "created_at": now()}
    return bound(insert(api_keys).values(row))


def list_keys() -> Bound:
    """Every key, oldest first, without its digest."""
    shown = (api_keys.c.prefix, api_keys.c.tenant_id, api_keys.c.name, api_keys.c.created_at, api_keys.c.revoked_at)
    return bound(select(*shown).order_by(api_keys.c.created_at, api_keys.c.prefix))


def revoke_key(prefix: str) -> Bound:
    """Refuse the key from now on. No row: unknown, or revoked before."""
    return bound(
        update(api_keys)
        .where(api_keys.c.prefix == prefix, api_keys.c.revoked_at.is_(None))
        .values(revoked_at=now())
        .returning(api_keys.c.prefix)
    )
