"""The leader's repairs: expired leases, images that kill workers, jobs to stop, jobs to finish."""

import logging
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Engine

from db import endings
from db.limits import MAX_DEATHS_ALONE, MAX_STALLS
from db.statements import reap
from db.statements.leader import wake_dispatcher
from db.states import JobReason
from workers.backoff import backoff
from workers.dispatcher.metrics import LEASES_EXPIRED, SUSPECTS
from workers.dispatcher.unexpected_errors import MAX_ERRORS_OF_JOB, UnexpectedErrors
from workers.testing import crash_points

log = logging.getLogger(__name__)

_PAGE = 100


def reap_leases(engine: Engine, errors: UnexpectedErrors | None = None) -> int:
    """Take back every chunk whose lease ran out, and return how many. One transaction a page, one savepoint a chunk."""
    errors = errors or UnexpectedErrors()
    with engine.begin() as connection:
        rows = connection.execute(*reap.expired_leases(limit=_PAGE)).all()
        for row in rows:
            if not errors.may_try(row.job_id):
                continue
            with errors.job("taking back a lease", row.job_id), connection.begin_nested():
                crash_points.reach("reaping", row.job_id)
                _take_back(connection, row)
        if rows:
            connection.execute(*wake_dispatcher())
    return len(rows)


def _take_back(connection: Connection, row: Any) -> None:
    log.warning("lease of chunk %s/%d ran out (worker %s)", row.job_id, row.chunk_no, row.worker)
    LEASES_EXPIRED.inc()
    stalls = row.stalls + 1
    if row.alone and row.inflight and _charge(connection, row):
        stalls = 0  # the image has failed, which is progress
    elif row.inflight and not row.alone:
        connection.execute(*reap.suspect(row.job_id, list(row.inflight)))
        SUSPECTS.inc(len(row.inflight))
    if stalls >= MAX_STALLS:
        endings.fail_items(connection, row, None, f"{stalls} attempts of its chunk ended without one new result")
        connection.execute(*reap.bury(row.job_id, row.chunk_no))
        return
    connection.execute(*reap.take_back(row.job_id, row.chunk_no, stalls=stalls, backoff_seconds=backoff(stalls)))


def _charge(connection: Connection, row: Any) -> bool:
    """Count the death of a worker that held this image alone. At the limit the image fails. Returns whether it did."""
    index = row.inflight[0]
    deaths: int = connection.execute(*reap.charge_death(row.job_id, index)).scalar_one()
    if deaths < MAX_DEATHS_ALONE:
        return False
    endings.fail_items(connection, row, index, f"{deaths} workers died while they held this image alone")
    return True


def stop_jobs(engine: Engine, errors: UnexpectedErrors) -> None:
    """End jobs whose deadline has passed, whose failures exceed their ratio, or that made this loop fail too often."""
    with engine.connect() as connection:
        overdue = connection.execute(*reap.overdue_jobs()).scalars().all()
        failing = connection.execute(*reap.failing_jobs()).scalars().all()
    for job_id in overdue:
        _stop(engine, errors, job_id, JobReason.DEADLINE_EXCEEDED, "the deadline passed before every item was done")
    for job_id in failing:
        detail = "more items failed than max_failure_ratio allows"
        _stop(engine, errors, job_id, JobReason.FAILURE_RATIO_EXCEEDED, detail)


def stop_exhausted(engine: Engine, errors: UnexpectedErrors) -> None:
    """End the jobs that made a step of the leader fail too often."""
    for job_id, last in errors.exhausted():
        detail = (
            f"the service failed {MAX_ERRORS_OF_JOB} times on this job ({last}); the dispatcher's log has the traceback"
        )
        with errors.job("stopping a job that fails", job_id):
            with engine.begin() as connection:
                endings.stop_job(connection, job_id, JobReason.INTERNAL, detail)
            errors.stopped(job_id)


def _stop(engine: Engine, errors: UnexpectedErrors, job_id: UUID, reason: JobReason, detail: str) -> None:
    if not errors.may_try(job_id):
        return
    with errors.job("stopping a job", job_id), engine.begin() as connection:
        crash_points.reach("stopping", job_id)
        endings.stop_job(connection, job_id, reason, detail)


def finish_jobs(engine: Engine, errors: UnexpectedErrors) -> None:
    """Finish jobs whose worker died between the commit of the last chunk and that of the job."""
    with engine.connect() as connection:
        ended = connection.execute(*reap.unfinished_jobs()).scalars().all()
    for job_id in ended:
        if not errors.may_try(job_id):
            continue
        with errors.job("finishing a job", job_id), engine.begin() as connection:
            crash_points.reach("finishing", job_id)
            endings.finish_job(connection, job_id)
