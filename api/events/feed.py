"""The jobs that clients follow. One query a second reads them all, whatever the number of clients."""

import asyncio
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from uuid import UUID

from sqlalchemy import Row
from sqlalchemy.ext.asyncio import AsyncEngine

from api.jobs.views import Job, job_etag, job_view
from db.engine import DATABASE_ERRORS, first_line
from db.own_rows import seeing
from db.statements import jobs as sql

log = logging.getLogger("maskworks.api")


class Topic:
    """The latest state of one job. A slow client skips states: none are kept for it."""

    def __init__(self, job: Job, tenant: str) -> None:
        self.tenant = tenant
        self.job: Job | None = job  # None once it is deleted
        self.followers = 0
        self._changed = asyncio.Event()

    def publish(self, job: Job | None) -> None:
        """Wake the followers if the job has changed."""
        if job is not None and self.job is not None and job_etag(job) == job_etag(self.job):
            return
        self.job = job
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    async def change(self, seconds: float) -> None:
        """Wait for the next change, for so long at most."""
        try:
            async with asyncio.timeout(seconds):
                await self._changed.wait()
        except TimeoutError:
            pass


class Feed:
    """Reads the followed jobs while there is a follower."""

    def __init__(self, reads: AsyncEngine, pause: float = 1.0) -> None:
        self._reads, self._pause = reads, pause
        self._topics: dict[UUID, Topic] = {}
        self._task: asyncio.Task[None] | None = None

    @contextmanager
    def follow(self, job_id: UUID, job: Job, tenant: str) -> Iterator[Topic]:
        """The topic of a job that the client may read, of its tenant. `job` is its state just now."""
        topic = self._topics.setdefault(job_id, Topic(job, tenant))
        topic.followers += 1
        if self._task is None:
            self._task = asyncio.create_task(self._poll())
        try:
            yield topic
        finally:
            topic.followers -= 1
            if not topic.followers:
                del self._topics[job_id]

    async def close(self) -> None:
        """Stop reading."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    async def _poll(self) -> None:
        try:
            while self._topics:
                await asyncio.sleep(self._pause)
                try:
                    await self._read()
                except DATABASE_ERRORS as error:
                    log.warning("followed jobs cannot be read, trying again: %s", first_line(error))
                except Exception:  # it serves every follower
                    log.exception("followed jobs cannot be read, trying again")
        finally:
            self._task = None

    async def _read(self) -> None:
        """One query for all of them."""
        followed = dict(self._topics)
        if not followed:
            return
        tenants = sorted({topic.tenant for topic in followed.values()})
        with seeing(tenants):
            async with self._reads.connect() as connection:
                rows = (await connection.execute(*sql.followed(list(followed)))).all()
        found: dict[UUID, Row[Any]] = {row.id: row for row in rows}
        for job_id, topic in followed.items():
            topic.publish(job_view(found[job_id]) if job_id in found else None)
