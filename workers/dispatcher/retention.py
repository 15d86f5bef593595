"""Remove jobs by their age beside the leader's loop, in short transactions that vacuum can keep up with."""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Engine, Row

from db.engine import DATABASE_ERRORS, first_line, is_away
from db.ids import show_job_id
from db.partitions import drop_month, past_months
from db.statements import retention as sql
from db.statements.bound import Bound
from workers.dispatcher.metrics import JOBS_REMOVED
from workers.dispatcher.settings import Settings
from workers.testing import crash_points

log = logging.getLogger(__name__)

_LOOK_EVERY: Final = 60.0
_JOBS: Final = 100
_ROWS: Final = 1000
"""Rows of a transaction. A result with sixty masks has about 60 kB, so this is 60 MB to remove."""
_EVENT_DAYS: Final = 7.0
"""Nobody reads a job's row in the outbox after its end. A week of them is kept for whoever looks into a fault."""
_LOCK_SECONDS: Final = 0.5
_TABLES: Final = ("results", "items", "chunks")


class Retention:
    """Removes while this process leads. A second leader that removes the same rows does no harm."""

    def __init__(self, engine: Engine, settings: Settings, leads: Callable[[], bool]) -> None:
        self._engine = engine
        self._days = settings.retention_days
        self._leads = leads
        self._asked = threading.Event()
        self._stopped = threading.Event()
        self._looked = -_LOOK_EVERY

    def start(self) -> None:
        threading.Thread(target=self._serve, name="retention", daemon=True).start()

    def ask(self) -> None:
        """There may be something to remove."""
        self._asked.set()

    def stop(self) -> None:
        """Remove nothing more. Another leader goes on."""
        self._stopped.set()
        self._asked.set()

    def _serve(self) -> None:
        while not self._stopped.is_set():
            self._asked.wait()
            self._asked.clear()
            if time.monotonic() - self._looked < _LOOK_EVERY or not self._goes_on():
                continue
            self._looked = time.monotonic()
            try:
                self._round()
            except DATABASE_ERRORS as error:
                log.warning("the database failed while old jobs were removed, trying again: %s", first_line(error))
            except Exception:
                log.exception("removing old jobs failed, trying again")

    def _goes_on(self) -> bool:
        return self._leads() and not self._stopped.is_set()

    def _round(self) -> None:
        """Whole months first, because a DROP costs next to nothing; then what is left of each job."""
        if self._days is not None:
            self._take_from_tenants(self._days)
        for month in self._months():
            self._drop(month)
        removed = [row.id for row in self._run(sql.removed_jobs(most=_JOBS))]
        for job_id in removed:
            self._remove(job_id)
        while self._goes_on() and len(self._run(sql.forget_events(days=_EVENT_DAYS, most=_ROWS))) == _ROWS:
            pass
        if len(removed) == _JOBS:
            self._looked = -_LOOK_EVERY  # there may be more

    def _take_from_tenants(self, days: float) -> None:
        taken = _JOBS
        while taken == _JOBS and self._goes_on():
            taken = len(self._run(sql.take_from_tenants(days=days, most=_JOBS)))
            JOBS_REMOVED.inc(taken)
            if taken:
                log.info("%d jobs are removed, because they ended more than %g days ago", taken, days)

    def _months(self) -> list[datetime]:
        with self._engine.begin() as connection:
            return past_months(connection)

    def _drop(self, month: datetime) -> None:
        if not self._goes_on():
            return
        try:
            with self._engine.begin() as connection:
                if drop_month(connection, month, lock_seconds=_LOCK_SECONDS):
                    log.info("the partitions of %s are dropped", f"{month:%Y-%m}")
        except DATABASE_ERRORS as error:
            if is_away(error):
                raise
            log.warning("the partitions of %s are dropped later: %s", f"{month:%Y-%m}", first_line(error))

    def _remove(self, job_id: UUID) -> None:
        """Remove the rows of a job, and the job at last. Whoever finds it half removed goes on."""
        try:
            for table in _TABLES:
                self._remove_rows(table, job_id)
            if self._goes_on():
                self._run(sql.remove_job(job_id))
        except DATABASE_ERRORS as error:
            if is_away(error):
                raise
            log.warning("%s is removed later: %s", show_job_id(job_id), first_line(error))

    def _remove_rows(self, table: str, job_id: UUID) -> None:
        start, removed = 0, _ROWS
        while removed == _ROWS and self._goes_on():
            began = time.monotonic()
            with self._engine.begin() as connection:
                gone = connection.execute(*sql.remove_rows(table, job_id, start=start, most=_ROWS)).one()
                crash_points.reach("removing", job_id)
            removed, start = gone.n, (gone.last or 0) + 1
            self._stopped.wait(time.monotonic() - began)  # half of the time is everybody else's

    def _run(self, statement: Bound) -> Sequence[Row[Any]]:
        """Run a statement in a transaction of its own."""
        with self._engine.begin() as connection:
            found = connection.execute(*statement)
            return found.all() if found.returns_rows else []
