"""Statements on API keys."""

from collections.abc import Collection
from datetime import timedelta
from typing import Final

from sqlalchemy import ColumnElement, and_, bindparam, case, func, insert, or_, select, update

from db.api_key import ApiKey, digest
from db.statements.bound import Bound, bound
from db.statements.clock import now, seconds
from db.tables import api_keys, tenants

_VALID: Final = and_(
    api_keys.c.revoked_at.is_(None), or_(api_keys.c.expires_at.is_(None), api_keys.c.expires_at > now())
)
USED_SECONDS: Final = 60
"""How far a key's last use may be behind. Each key is written once in so long at most."""


def valid_key(prefix: str) -> Bound:
    """The digest of the key with that prefix, and what it and its tenant may do. No row: unknown, revoked or expired.

    `stale` says that the key's last use should be written again.
    """
    return bound(_VALID_KEY, prefix=prefix)


def _stale() -> ColumnElement[bool]:
    return func.coalesce(api_keys.c.last_used_at < now() - seconds(USED_SECONDS), True)


_VALID_KEY: Final = (
    select(
        *(api_keys.c.tenant_id, api_keys.c.digest, api_keys.c.scopes, _stale().label("stale")),
        *(tenants.c.places, tenants.c.requests_per_minute),
    )
    .join_from(api_keys, tenants, tenants.c.id == api_keys.c.tenant_id)
    .where(api_keys.c.prefix == bindparam("prefix"), _VALID)
)


def use_key(prefix: str) -> Bound:
    """Write the key's last use, unless another process just did."""
    return bound(update(api_keys).where(api_keys.c.prefix == prefix, _stale()).values(last_used_at=now()))


def insert_key(
    key: ApiKey,
    *,
    pepper: str,
    name: str,
    tenant: str,
    scopes: Collection[str] | None = None,
    lifetime: timedelta | None = None,
) -> Bound:
    """Without `scopes` it may do everything, without `lifetime` it never expires.

    Raises IntegrityError, once run, if there is no such tenant.
    """
    row = {
        "prefix": key.prefix,
        "tenant_id": tenant,
        "digest": digest(pepper, key.secret),
        "name": name,
        "scopes": None if scopes is None else sorted(scopes),
        "created_at": now(),
        "expires_at": None if lifetime is None else now() + seconds(lifetime.total_seconds()),
    }
    return bound(insert(api_keys).values(row))


def key_row(prefix: str) -> Bound:
    """What a key that replaces this one takes over; the row stays locked. No row: unknown, revoked or expired.

    `lifetime` is the time from its making to its end. NULL: it never ends.
    """
    lifetime = (api_keys.c.expires_at - api_keys.c.created_at).label("lifetime")
    taken = (api_keys.c.name, api_keys.c.tenant_id, api_keys.c.scopes, lifetime)
    return bound(select(*taken).where(api_keys.c.prefix == prefix, _VALID).with_for_update())


def expire_key(prefix: str, *, after: timedelta) -> Bound:
    """End the key so long from now, or when it ends anyway if that is sooner."""
    ends = func.least(api_keys.c.expires_at, now() + seconds(after.total_seconds()))  # which leaves out a NULL
    return bound(update(api_keys).where(api_keys.c.prefix == prefix).values(expires_at=ends))


def list_keys(tenant: str | None = None) -> Bound:
    """Every key, or those of one tenant, oldest first, without its digest."""
    columns = ("prefix", "tenant_id", "name", "scopes", "created_at", "expires_at", "last_used_at")
    state = case(
        (api_keys.c.revoked_at.is_not(None), "revoked"), (api_keys.c.expires_at <= now(), "expired"), else_="valid"
    )
    query = select(*(api_keys.c[name] for name in columns), state.label("state"))
    query = query if tenant is None else query.where(api_keys.c.tenant_id == tenant)
    return bound(query.order_by(api_keys.c.created_at, api_keys.c.prefix))


def revoke_key(prefix: str) -> Bound:
    """Refuse the key from now on. No row: unknown, or revoked before."""
    return bound(
        update(api_keys)
        .where(api_keys.c.prefix == prefix, api_keys.c.revoked_at.is_(None))
        .values(revoked_at=now())
        .returning(api_keys.c.prefix)
    )
