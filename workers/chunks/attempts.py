"""What a worker writes when an unexpected error ended its attempt at a chunk: a charge, and after a few an end.

Counted in the chunk's row (`stalls`), so that it does not matter which worker fails. One new result sets it back to 0.
"""

import logging
from typing import Final
from uuid import UUID

from sqlalchemy import Engine

from db.engine import DATABASE_ERRORS, is_about_data
from db.limits import MAX_ERRORS
from db.statements import reap
from db.statements.leader import wake_dispatcher
from db.states import ItemReason, JobReason
from workers.chunks.chunk import End
from workers.chunks.lease import Claim
from workers.endings import backoff, fail_items, stop_job

log = logging.getLogger(__name__)

_ADVICE: Final = "the worker's log has the traceback"


def failed(engine: Engine, held: Claim, error: Exception) -> End:
    """leased → ready after a wait, or dead after MAX_ERRORS in a row, its missing items INTERNAL."""
    try:
        return _charge(engine, held, error)
    except DATABASE_ERRORS as refused:
        if is_about_data(refused):
            return _stop(engine, held, refused)
        log.exception("could not charge chunk %s: its lease runs out instead", held.fence)
        return End.LOST


def _charge(engine: Engine, held: Claim, error: Exception) -> End:
    with engine.begin() as connection:
        row = connection.execute(*reap.held_chunk(held.fence)).one_or_none()
        if row is None:
            return End.LOST
        stalls = row.stalls + 1
        if stalls >= MAX_ERRORS:
            detail = f"{stalls} attempts of its chunk failed, the last with {type(error).__name__}; {_ADVICE}"
            fail_items(connection, row, None, detail, ItemReason.INTERNAL)
            connection.execute(*reap.bury(row.job_id, row.chunk_no))
        else:
            connection.execute(
                *reap.take_back(row.job_id, row.chunk_no, stalls=stalls, backoff_seconds=backoff(stalls))
            )
        connection.execute(*wake_dispatcher())
    return End.FAILED


def _stop(engine: Engine, held: Claim, refused: Exception) -> End:
    """Not even the failures of the chunk's items can be written."""
    log.error("chunk %s cannot be charged: stopping its job", held.fence, exc_info=refused)
    detail = f"no result of chunk {held.fence.chunk_no} can be written: {type(refused).__name__}; {_ADVICE}"
    try:
        stop_job(engine, held.fence.job_id, JobReason.INTERNAL, detail)
    except DATABASE_ERRORS:
        log.exception("job %s cannot be stopped either", held.fence.job_id)
        return End.LOST
    return End.FAILED


def not_claimed(engine: Engine, job_id: UUID, chunk_no: int, error: Exception) -> None:
    """A chunk that cannot even be claimed waits; after MAX_ERRORS in a row its job is stopped."""
    try:
        with engine.begin() as connection:
            charge = reap.charge_claim(job_id, chunk_no, backoff_seconds=backoff(1))
            stalls = connection.execute(*charge).scalar_one_or_none()
        if stalls is not None and stalls >= MAX_ERRORS:
            detail = f"chunk {chunk_no} could not be claimed {stalls} times: {type(error).__name__}; {_ADVICE}"
            stop_job(engine, job_id, JobReason.INTERNAL, detail)
    except DATABASE_ERRORS:
        log.exception("could not charge chunk %s/%d", job_id, chunk_no)
