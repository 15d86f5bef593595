"""Read the inputs of jobs beside the leader's loop, a page of a job at a time, so that no job holds up another."""

import logging
import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Engine

from db.engine import DATABASE_ERRORS, is_about_data
from db.states import JobReason
from workers.dispatcher.ingest.manifest import ManifestSource
from workers.dispatcher.ingest.prefix import PrefixSource
from workers.dispatcher.ingest.source import IngestingJob, InputFailed, Source, ingesting_jobs
from workers.dispatcher.ingest.store import ingest_page, put_off
from workers.dispatcher.settings import Settings

log = logging.getLogger(__name__)

_AT_ONCE: Final = 4
"""Pages listed at a time. With fewer, one slow bucket would hold up the others."""
_PAGE_SECONDS: Final = 60.0
"""A page that takes longer counts as failed and leaves its place to another. Its thread ends when the store answers."""
_MOST_THREADS: Final = 32
_MOST_OPEN: Final = 8
"""Manifests that stay open while they wait for their next turn. Each holds a connection."""
_STOP_SECONDS: Final = 5.0
_MAX_TRIES: Final = 3
"""Unexpected errors in a row over one page, after which the job fails: INTERNAL."""
_BACKOFF_BASE = 0.5
_BACKOFF_CAP = 30.0


@dataclass
class _Progress:
    """What this process knows of a job's listing. The database knows how far it is."""

    started: float = 0.0
    due: float = 0.0
    running: bool = False
    pages: int = 0
    failures: int = 0
    unexpected: int = 0
    source: Source | None = None

    def close(self) -> None:
        if self.source is not None:
            self.source.close()
            self.source = None

    def put_off(self) -> None:
        self.close()
        self.failures += 1
        backoff = min(_BACKOFF_CAP, _BACKOFF_BASE * 2 ** min(self.failures - 1, 10))
        self.due = time.monotonic() + backoff * (0.5 + random.random() / 2)


class Ingester:
    """Works while this process leads. A late page of a former leader is refused, because the job is at another page."""

    def __init__(self, engine: Engine, s3: Any, settings: Settings, leads: Callable[[], bool]) -> None:
        self._engine = engine
        self._s3 = s3
        self._settings = settings
        self._leads = leads
        self._progress: dict[UUID, _Progress] = {}
        self._asked = threading.Event()
        self._stopping = False
        self._thread = threading.Thread(target=self._loop, name="ingest", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def ask(self) -> None:
        """There may be something to read."""
        self._asked.set()

    def stop(self) -> None:
        """Start no further page. Pages under way end with the process or are refused."""
        self._stopping = True
        self.ask()
        if self._thread.is_alive():
            self._thread.join(_STOP_SECONDS)

    def _loop(self) -> None:
        while not self._stopping:
            self._asked.wait()
            self._asked.clear()
            try:
                if self._leads() and not self._stopping:
                    self._round(ingesting_jobs(self._engine))
            except DATABASE_ERRORS as error:
                log.warning("the database failed while inputs were read, trying again: %s", error)
            except Exception:
                log.exception("a round of reading inputs failed, trying again")

    def _round(self, found: list[IngestingJob]) -> None:
        """Start a page of each job that is due. The job that has waited longest comes first."""
        self._forget(known={job.job_id for job in found})
        for job in found:
            self._progress.setdefault(job.job_id, _Progress())
        for job in sorted(found, key=lambda job: self._progress[job.job_id].started):
            progress = self._progress[job.job_id]
            if progress.running:
                self._check_overdue(job, progress)
            elif job.pages < progress.pages:
                continue  # read before the last page was stored
            elif progress.due <= time.monotonic() and self._has_room():
                progress.started, progress.running = time.monotonic(), True
                threading.Thread(target=self._page, args=(job, progress), name="ingest-page", daemon=True).start()

    def _forget(self, known: set[UUID]) -> None:
        """Close the sources of jobs that have ended, and of those that wait for their turn where too many are open."""
        idle = {job: progress for job, progress in self._progress.items() if not progress.running}
        for gone in idle.keys() - known:
            self._progress.pop(gone).close()
        opened = sorted((p for p in idle.values() if p.source is not None), key=lambda p: p.started)
        for progress in opened[: max(0, len(opened) - _MOST_OPEN)]:
            progress.close()

    def _has_room(self) -> bool:
        running = [progress for progress in self._progress.values() if progress.running]
        in_time = [progress for progress in running if time.monotonic() - progress.started < _PAGE_SECONDS]
        return len(in_time) < _AT_ONCE and len(running) < _MOST_THREADS

    def _check_overdue(self, job: IngestingJob, progress: _Progress) -> None:
        if time.monotonic() - progress.started > _PAGE_SECONDS:
            detail = f"the store has not answered in {_PAGE_SECONDS:.0f} s"
            put_off(self._engine, self._settings, job, InputFailed(JobReason.STORAGE_UNAVAILABLE, detail))

    def _page(self, job: IngestingJob, progress: _Progress) -> None:
        """Read one page in a thread of its own. Its errors are charged to this job."""
        try:
            self._try_page(job, progress)
        except DATABASE_ERRORS as error:
            log.warning("the database failed while an input was read, trying again: %s", error)
            progress.put_off()
        except Exception:
            log.exception("job %s: it could not be put off", job.job_id)
            progress.put_off()
        finally:
            progress.running = False
            self.ask()

    def _source(self, job: IngestingJob) -> Source:
        kind = ManifestSource if "manifest" in job.source else PrefixSource
        return kind(self._s3, self._settings, job)

    def _try_page(self, job: IngestingJob, progress: _Progress) -> None:
        try:
            if progress.source is None:
                progress.source = self._source(job)
            ingest_page(self._engine, progress.source, self._settings, job)
        except InputFailed as failure:
            log.warning("job %s: its input cannot be read now: %s", job.job_id, failure)
            progress.put_off()
            put_off(self._engine, self._settings, job, failure)
        except Exception as error:
            if isinstance(error, DATABASE_ERRORS) and not is_about_data(error):
                raise
            log.exception("job %s: reading its input failed unexpectedly", job.job_id)
            progress.put_off()
            progress.unexpected += 1
            put_off(self._engine, self._settings, job, _unexpected(error, progress.unexpected))
        else:
            progress.failures = progress.unexpected = 0
            progress.pages = job.pages + 1


def _unexpected(error: Exception, tries: int) -> InputFailed:
    detail = f"an unexpected {type(error).__name__} after {tries} tries; the dispatcher's log says where"
    return InputFailed(JobReason.INTERNAL, detail, for_good=tries >= _MAX_TRIES)
