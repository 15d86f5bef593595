"""What routes need of the application: its engines, the exports under way, ids as they come in a path.

Statements that stand alone run in autocommit on the first pool: two round trips to Postgres less than in a transaction.
"""

from typing import Annotated
from uuid import UUID

from fastapi import Depends, Path, Request
from sqlalchemy.ext.asyncio import AsyncEngine
from starlette.convertors import StringConvertor, register_url_convertor

from api.errors import JobNotFound
from api.exports.pages import Reader
from api.exports.response import Slots
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


async def _export_reader(request: Request) -> Reader:
    reader: Reader = request.app.state.export_reader
    return reader


async def _export_slots(request: Request) -> Slots:
    slots: Slots = request.app.state.export_slots
    return slots


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
        raise JobNotFound(f"{job_id!r} is no job of yours")
    return found


Database = Annotated[AsyncEngine, Depends(_engine)]
Reads = Annotated[AsyncEngine, Depends(_reads)]
ExportReader = Annotated[Reader, Depends(_export_reader)]
ExportSlots = Annotated[Slots, Depends(_export_slots)]
Config = Annotated[Settings, Depends(_settings)]
JobId = Annotated[UUID, Depends(_job_id)]
