"""Is the process alive, and can it serve?"""

from fastapi import APIRouter, Request
from sqlalchemy import text
from sqlalchemy.exc import ProgrammingError
from sqlalchemy.ext.asyncio import AsyncEngine

from api.database import Database, Reads
from api.errors import NotReady

router = APIRouter(tags=["health"])
_REVISION = text("SELECT version_num FROM alembic_version")


@router.get("/healthz")
async def healthz() -> dict[str, str]:
    """The process answers. Asks nothing else of the world: restarting it would not repair a database."""
    return {"status": "ok"}


@router.get("/readyz")
async def readyz(request: Request, database: Database, reads: Reads) -> dict[str, str]:
    """Postgres answers and has the revision that this code needs; else 503."""
    state = request.app.state
    found = await _revision(reads)
    if found != state.revision:
        state.migrated = False
        raise NotReady(f"the database is at revision {found}, {state.revision} is needed: run python -m db.migrate")
    if not state.migrated:
        # Connections opened before the migration do not know the type mask_row.
        await database.dispose()
        await state.exports.dispose()
        state.migrated = True
    return {"status": "ready", "revision": state.revision}


async def _revision(reads: AsyncEngine) -> str | None:
    async with reads.connect() as connection:
        try:
            found: str | None = (await connection.execute(_REVISION)).scalar_one_or_none()
        except ProgrammingError:  # no table yet: nothing was ever migrated
            return None
    return found
