"""Rows of an export, page by page. No connection, transaction or snapshot is held while a client reads.

A result is written once and never changes, so pages need no common snapshot. Items whose result is written during an
export may or may not be in it, each at most once. What the file says about the job was true at the beginning.
"""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import Row
from sqlalchemy.ext.asyncio import AsyncEngine

from db.ids import show_job_id
from db.statements import jobs as sql
from db.statements.bound import Bound
from db.statements.export import Pages
from db.states import FINAL_JOB_STATES, ItemState, JobState

_FIRST_ROWS, _MOST_ROWS = 16, 512
_SMALL_PAGE, _LARGE_PAGE = 128 * 1024, 512 * 1024


class NoSuchJob(LookupError):
    """The tenant has no such job, or it was deleted while it was read."""

    def __init__(self, job_id: UUID) -> None:
        super().__init__(f"you have no job {show_job_id(job_id)!r}")


@dataclass(frozen=True)
class Job:
    """What files say about their job."""

    id: str
    state: JobState
    done: bool
    counts: dict[str, int]
    phrases: tuple[str, ...] = ()
    """Of a text job, in its order."""

    @classmethod
    def of(cls, row: Row[Any]) -> "Job":
        """A row of `db.statements.jobs.job`."""
        counts = {"total": row.n_items, **{state.value: getattr(row, state.value) for state in ItemState}}
        phrases = tuple(row.task.get("phrases", ()))
        return cls(show_job_id(row.id), row.state, row.state in FINAL_JOB_STATES, counts, phrases)


class Reader:
    """Runs the statements of all exports of a process, on `at_once` connections at most."""

    def __init__(self, engine: AsyncEngine, at_once: int) -> None:
        self._engine = engine
        self._turn = asyncio.Semaphore(at_once)

    async def all(self, statement: Bound) -> Sequence[Row[Any]]:
        async with self._turn, self._engine.connect() as connection:
            return (await connection.execute(*statement)).all()


@dataclass(frozen=True)
class Source:
    """A job's results as an export reads them; `job` is the job at the beginning."""

    reader: Reader
    tenant: str
    job_id: UUID
    job: Job
    start: int = 0
    stop: int | None = None
    """Only items start ≤ index < stop are in the file. None: all from `start` on."""

    def about(self) -> dict[str, Any]:
        """What a file says about its job, so that a reader knows whether it is all of it."""
        job = self.job
        return {"id": job.id, "state": job.state, "done": job.done, "counts": job.counts}

    async def rows(self, pages: Pages) -> AsyncGenerator[Row[Any], None]:
        """Every row of a statement that reads pages. Raises NoSuchJob if the job was deleted meanwhile."""
        start, rows = self.start, self._at_most(self.start, _FIRST_ROWS)
        while rows and (page := await self.reader.all(pages(self.job_id, start=start, rows=rows))):
            start = page[-1].item_index + 1
            rows = self._at_most(start, _next_rows(page, rows))
            for row in page:
                if self.stop is None or row.item_index < self.stop:
                    yield row
        if not await self.reader.all(sql.job_state(self.tenant, self.job_id)):
            raise NoSuchJob(self.job_id)

    def _at_most(self, start: int, rows: int) -> int:
        return rows if self.stop is None else max(0, min(rows, self.stop - start))


def _next_rows(page: Sequence[Row[Any]], rows: int) -> int:
    """More rows if they are small, fewer if they are large, so that every page takes about the same memory."""
    held = sum(len(row.masks or "") + len(row.rle or b"") for row in page) if "rle" in page[0]._fields else 0
    if held > _LARGE_PAGE:
        return max(rows // 2, 1)
    return min(rows * 2, _MOST_ROWS) if held < _SMALL_PAGE else rows


async def open_source(reader: Reader, tenant: str, job_id: UUID, start: int = 0, stop: int | None = None) -> Source:
    """The results of items start ≤ index < stop. Raises NoSuchJob."""
    found = await reader.all(sql.job(tenant, job_id))
    if not found:
        raise NoSuchJob(job_id)
    return Source(reader, tenant, job_id, Job.of(found[0]), start, stop)
