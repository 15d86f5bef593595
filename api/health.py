"""Probes: `/healthz` says that the process is alive, `/readyz` that it can serve."""

from fastapi import APIRouter, Request
from sqlalchemy import text
from sqlalchemy.exc import ProgrammingError
from sqlalchemy.ext.asyncio import AsyncEngine

from api.database import Reads
from api.http.problems import ANYWHERE, DATABASE_AWAY
from api.refusals import NotReady

router = APIRouter(tags=["health"], responses=ANYWHERE)
_REVISION = text("SELECT version_num FROM alembic_version")


@router.get("/healthz")
async def healthz() -> dict[str, str]:
    """The process answers. The database is not asked, because a restart would not repair it."""
    return {"status": "ok"}


@router.get("/readyz", responses=DATABASE_AWAY)
async def readyz(request: Request, reads: Reads) -> dict[str, str]:
    """Postgres answers and has the revision that this code needs, or a later one. Otherwise 503.

    A later revision keeps everything that this code uses (`db.migrate`). So pods keep serving while the next release is
    rolled out, and after it was rolled back.
    """
    needed: str = request.app.state.revision
    found = await _revision(reads)
    if found is None or int(found) < int(needed):
        raise NotReady(f"the database is at revision {found} and needs {needed}: run python -m db.migrate")
    return {"status": "ready", "revision": found}


async def _revision(reads: AsyncEngine) -> str | None:
    async with reads.connect() as connection:
        try:
            found: str | None = (await connection.execute(_REVISION)).scalar_one_or_none()
        except ProgrammingError:  # there is no such table before the first migration
            return None
    return found
