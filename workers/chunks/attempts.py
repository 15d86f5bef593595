"""Charge a chunk for an attempt that an unexpected error ended. After a few, the chunk fails.

The count is in the chunk's row (`stalls`), so that all workers share it. A new result sets it to 0.
"""

import logging
from typing import Final
from uuid import UUID

from sqlalchemy import Engine

from db import endings
from db.engine import DATABASE_ERRORS, is_about_data
from db.limits import MAX_ERRORS
from db.statements import reap
from db.statements.leader import wake_dispatcher
from db.states import ItemReason, JobReason
from workers.backoff import backoff
from workers.chunks.chunk import End
from workers.chunks.lease import Claim

log = logging.getLogger(__name__)

_ADVICE: Final = "the worker's log has the traceback"


def failed(engine: Engine, held: Claim, error: Exception) -> End:
    """leased → ready after a wait. After MAX_ERRORS in a row leased → dead, and the missing items fail as INTERNAL."""
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
            endings.fail_items(connection, row, None, detail, ItemReason.INTERNAL)
            connection.execute(*reap.bury(row.job_id, row.chunk_no))
        else:
            connection.execute(
                *reap.take_back(row.job_id, row.chunk_no, stalls=stalls, backoff_seconds=backoff(stalls))
            )
        connection.execute(*wake_dispatcher())
    return End.FAILED


def _stop(engine: Engine, held: Claim, refused: Exception) -> End:
    """Stop the job, because not even the failures of the chunk's items can be written."""
    log.error("chunk %s cannot be charged: stopping its job", held.fence, exc_info=refused)
    detail = f"no result of chunk {held.fence.chunk_no} can be written: {type(refused).__name__}; {_ADVICE}"
    try:
        with engine.begin() as connection:
            endings.stop_job(connection, held.fence.job_id, JobReason.INTERNAL, detail)
    except DATABASE_ERRORS:
        log.exception("job %s cannot be stopped either", held.fence.job_id)
        return End.LOST
    return End.FAILED


def not_claimed(engine: Engine, job_id: UUID, chunk_no: int, error: Exception) -> None:
    """Let a chunk wait that could not be claimed. After MAX_ERRORS in a row its job is stopped."""
    try:
        with engine.begin() as connection:
            charge = reap.charge_claim(job_id, chunk_no, backoff_seconds=backoff(1))
            stalls = connection.execute(*charge).scalar_one_or_none()
        if stalls is not None and stalls >= MAX_ERRORS:
            detail = f"chunk {chunk_no} could not be claimed {stalls} times: {type(error).__name__}; {_ADVICE}"
            with engine.begin() as connection:
                endings.stop_job(connection, job_id, JobReason.INTERNAL, detail)
    except DATABASE_ERRORS:
        log.exception("could not charge chunk %s/%d", job_id, chunk_no)
