"""Authentication: `Authorization: Bearer mw_…` → the tenant of that key."""

import asyncio
import hashlib
import logging
import time
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request
from fastapi.security import HTTPBearer
from sqlalchemy.ext.asyncio import AsyncEngine

from api.rate_limit import RateLimit
from api.refusals import Unauthenticated
from api.scopes import check_scope
from api.tenant import Tenant
from api.wrong_keys import Brake
from db.api_key import read_key, verified
from db.engine import DATABASE_ERRORS, first_line
from db.own_rows import see
from db.scopes import Scope, stored_scopes
from db.statements.keys import use_key, valid_key

log = logging.getLogger("maskworks.api")

_REMEMBERED_SECONDS = 5.0
_REMEMBERED_KEYS = 4096


@dataclass(frozen=True)
class Access:
    """What a valid key gives: its tenant, and the calls that it may make."""

    tenant: Tenant
    scopes: frozenset[Scope]


class KeyRing:
    """Verifies keys against the database. It remembers each valid key for a few seconds, by its digest.

    A client that polls costs one look-up every few seconds, and a revoked key works for a few seconds more at most.
    The brake only applies to keys that have not worked yet.
    """

    def __init__(self, engine: AsyncEngine, pepper: str, brake: Brake) -> None:
        self._engine = engine
        self._pepper = pepper
        self._brake = brake
        self._writes: set[asyncio.Task[None]] = set()
        self._seen: dict[bytes, tuple[float, Access | None]] = {}

    async def access(self, text: str, address: str) -> Access | None:
        """What the key gives, or None where it is not valid. Raises TooManyWrongKeys."""
        name = hashlib.sha256(text.encode("utf-8", "replace")).digest()
        until, access = self._seen.get(name, (0.0, None))
        if until > time.monotonic():
            return access
        if name not in self._seen:
            self._brake.check(address)
        found = await self._look_up(text)
        if found is not None:
            self._remember(name, found)
        else:
            self._seen.pop(name, None)
            self._brake.count(address)
        return found

    async def _look_up(self, text: str) -> Access | None:
        key = read_key(text)
        if key is None:
            return None
        async with self._engine.connect() as connection:
            row = (await connection.execute(*valid_key(key.prefix))).first()
        if row is None or not verified(self._pepper, key, row.digest):
            return None
        if row.stale:
            self._note_use(key.prefix)
        places = None if row.places is None else tuple(row.places)
        scopes = stored_scopes(row.scopes)
        return Access(Tenant(row.tenant_id, places, row.requests_per_minute, Scope.JOBS_READ in scopes), scopes)

    def _note_use(self, prefix: str) -> None:
        """Write the key's last use beside the request, which does not wait for it."""
        task = asyncio.create_task(self._write_use(prefix))
        self._writes.add(task)
        task.add_done_callback(self._writes.discard)

    async def _write_use(self, prefix: str) -> None:
        try:
            async with self._engine.connect() as connection:
                await connection.execute(*use_key(prefix))
        except DATABASE_ERRORS as error:
            log.warning("the last use of the key mw_%s_… was not written: %s", prefix, first_line(error))

    async def close(self) -> None:
        """Let the last uses be written."""
        await asyncio.gather(*self._writes)

    def _remember(self, name: bytes, access: Access) -> None:
        if name not in self._seen and len(self._seen) >= _REMEMBERED_KEYS:
            self._seen.clear()
        self._seen[name] = (time.monotonic() + _REMEMBERED_SECONDS, access)


class _Bearer(HTTPBearer):
    """The scheme and the look-up in one class, because each dependency costs time in every request."""

    async def __call__(self, request: Request) -> Tenant:  # type: ignore[override]
        credentials = await super().__call__(request)
        if credentials is None:
            raise Unauthenticated("the request has no API key: send the header `Authorization: Bearer <key>`")
        keys: KeyRing = request.app.state.keys
        access = await keys.access(credentials.credentials, request.client.host if request.client else "")
        if access is None:
            raise Unauthenticated("the API key is unknown, expired or revoked: use another one")
        limit: RateLimit = request.app.state.rate_limit
        await limit.count(request, access.tenant)
        see(access.tenant.id)
        check_scope(request, access.scopes)
        return access.tenant


_bearer = _Bearer(auto_error=False, scheme_name="api_key", description="`mw_…`, from `python -m db.keys create`")
CurrentTenant = Annotated[Tenant, Depends(_bearer)]
NEEDS_KEY = Depends(_bearer)
"""For a whole router. FastAPI looks the key up once, even if the route takes `CurrentTenant` too."""
