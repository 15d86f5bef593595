"""What routes need of the application: its engines, its settings, and the job id of a path.

Single statements run in autocommit, on connections of the same pool. That saves the two round trips of a transaction.
"""

from typing import Annotated
from uuid import UUID

from fastapi import Depends, Path, Request
from sqlalchemy.ext.asyncio import AsyncEngine
from starlette.convertors import StringConvertor, register_url_convertor

from api.refusals import JobNotFound
from api.settings import Settings
from db.ids import read_job_id


class _JobIdConvertor(StringConvertor):
    """`{job_id:job}` in a path ends before a colon: `…:cancel` is matched by its own route only."""

    regex = "[^/:]+"


register_url_convertor("job", _JobIdConvertor())


async def _engine(request: Request) -> AsyncEngine:
    engine: AsyncEngine = request.app.state.engine
    return engine


async def _reads(request: Request) -> AsyncEngine:
    engine: AsyncEngine = request.app.state.reads
    return engine


async def _settings(request: Request) -> Settings:
    settings: Settings = request.app.state.settings
    return settings


async def _job_id(
    job_id: Annotated[
        str,
        Path(
            description="`job_…`",
            examples=["job_0198a3c2f0b47d21a5e94c0b6f3d8e17"],
            json_schema_extra={"pattern": "^job_[0-9a-f]{32}$"},
        ),
    ],
) -> UUID:
    found = read_job_id(job_id)
    if found is None:
        raise JobNotFound(job_id)
    return found


Database = Annotated[AsyncEngine, Depends(_engine)]
Reads = Annotated[AsyncEngine, Depends(_reads)]
Config = Annotated[Settings, Depends(_settings)]
JobId = Annotated[UUID, Depends(_job_id)]
