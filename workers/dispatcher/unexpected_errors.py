"""Unexpected errors in the leader's loop are logged and counted for each job. They do not end the loop.

A step or a job that fails does not hold up the others. A job that fails again waits longer each time. Once it has used
up its tries, `exhausted` names it, and the leader stops it. Only a database that is away ends a round.
"""

import logging
import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from db.engine import DATABASE_ERRORS, is_about_data, is_away
from db.ids import show_job_id
from db.logs import about
from workers.dispatcher.metrics import ERRORS

log = logging.getLogger(__name__)

MAX_ERRORS_OF_JOB: Final = 5
"""Unexpected errors of one job, after which it is stopped."""
_BACKOFF_BASE: Final = 0.1
_BACKOFF_CAP: Final = 600.0
_SAY_EVERY: Final = 60.0
"""Seconds between two log records of a step that fails again and again."""
_FORGET_AFTER: Final = 3600.0


@dataclass
class _Count:
    errors: int = 0
    last: str = ""
    at: float = 0.0
    not_before: float = 0.0
    stop_at: float = 0.0


class UnexpectedErrors:
    """The counts of one leader, in memory. The next leader counts anew. Used by one thread."""

    def __init__(self) -> None:
        self._jobs: dict[UUID, _Count] = {}
        self._said: dict[str, tuple[float, int]] = {}

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """A step of the loop that is for no single job. Raises only where the database is away."""
        try:
            yield
        except Exception as error:
            if is_away(error):
                raise
            self._say(name, error)

    @contextmanager
    def job(self, step: str, job_id: UUID) -> Iterator[None]:
        """The part of a step that is for one job. Raises only where the database is away."""
        with about(job=show_job_id(job_id)):
            try:
                yield
            except Exception as error:
                if is_away(error):
                    raise
                if isinstance(error, DATABASE_ERRORS) and not is_about_data(error):
                    self._say(step, error)  # a deadlock, a lock or the schema: the job is not at fault
                    return
                self._charge(step, job_id, error)

    def may_try(self, job_id: UUID) -> bool:
        """Whether a job is not waiting after an error of its own."""
        count = self._jobs.get(job_id)
        return count is None or time.monotonic() >= count.not_before

    def exhausted(self) -> list[tuple[UUID, str]]:
        """Jobs to stop now, each with its last error. A job that could not be stopped comes again after its wait."""
        now = time.monotonic()
        found = [(job, c) for job, c in self._jobs.items() if c.errors >= MAX_ERRORS_OF_JOB and now >= c.stop_at]
        for _, count in found:
            count.stop_at = now + _backoff(count.errors)
        return [(job, count.last) for job, count in found]

    def stopped(self, job_id: UUID) -> None:
        """Note that the job has ended. What still fails for it is tried as rarely as possible."""
        count = self._jobs[job_id]
        count.stop_at, count.not_before = math.inf, time.monotonic() + _BACKOFF_CAP

    def _charge(self, step: str, job_id: UUID, error: Exception) -> None:
        ERRORS.inc()
        now = time.monotonic()
        self._forget(now)
        count = self._jobs.setdefault(job_id, _Count())
        count.errors += 1
        count.at = now
        count.not_before = now + _backoff(count.errors)
        count.last = f"{step}: {type(error).__name__}"
        log.error("%s failed for job %s, time %d", step, job_id, count.errors, exc_info=error)

    def _forget(self, now: float) -> None:
        self._jobs = {job: count for job, count in self._jobs.items() if now - count.at < _FORGET_AFTER}

    def _say(self, name: str, error: Exception) -> None:
        ERRORS.inc()
        now = time.monotonic()
        said, unsaid = self._said.get(name, (-_SAY_EVERY, 0))
        if now - said < _SAY_EVERY:
            self._said[name] = (said, unsaid + 1)
            return
        self._said[name] = (now, 0)
        log.error("%s failed (%d times more since it was last said); trying again", name, unsaid, exc_info=error)


def _backoff(errors: int) -> float:
    return min(_BACKOFF_CAP, _BACKOFF_BASE * 2.0 ** min(errors, 20))
