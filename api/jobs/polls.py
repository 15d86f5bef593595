"""The read that clients ask for again and again, by psycopg itself: a job with its counts.

Three quarters of what a poll took here was the way through SQLAlchemy's asyncio layer: 1.4 ms of CPU a read, .3 this
way. Connections are not checked before use either: a poll that finds one dead, or none free, goes the usual way, which
tries again and says what is wrong.
"""

import logging
from typing import Any
from uuid import UUID

import psycopg
from sqlalchemy.ext.asyncio import AsyncEngine

from api.errors import JobNotFound
from api.jobs.views import Job, job_view
from db.engine import poll_pool
from db.ids import show_job_id
from db.statements import read

log = logging.getLogger("maskworks.api")

_PATIENCE = 0.02
"""Seconds for one of our connections to become free; the other pool has more."""


class JobReader:
    """Reads one job. To be opened, and then closed; before and after it takes the usual way."""

    def __init__(self, database_url: str, otherwise: AsyncEngine) -> None:
        self._pool = poll_pool(database_url)
        self._otherwise = otherwise

    async def open(self) -> None:
        """Returns at once: connections come up behind it, or once there is a database."""
        await self._pool.open(wait=False)

    async def close(self) -> None:
        await self._pool.close()

    async def job(self, tenant: str, job_id: UUID) -> Job:
        """Raises JobNotFound; psycopg's or SQLAlchemy's OperationalError where the database is away, or too slow."""
        mine = {"tenant": tenant, "job_id": job_id}
        connection: psycopg.AsyncConnection[Any] | None = None
        try:
            async with self._pool.connection(timeout=_PATIENCE) as connection:
                cursor = await connection.execute(read.JOB_SQL, mine)
                row: Any = await cursor.fetchone()
        except (psycopg.OperationalError, psycopg.InterfaceError) as error:
            if connection is not None and not connection.closed:
                raise  # what a living database answers, a lock that could not be had in time
            log.info("a poll goes the long way: %s", error)
            async with self._otherwise.connect() as slower:
                row = (await slower.execute(read.JOB, mine)).first()
        return job_found(row, job_id)


def job_found(row: Any, job_id: UUID) -> Job:
    """A row of `db.statements.read.JOB`, if there is one. Raises JobNotFound."""
    if row is None:
        raise JobNotFound(f"'{show_job_id(job_id)}' is no job of yours")
    return job_view(row)
