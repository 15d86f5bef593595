"""How a job or an item ends without its worker: steps in order, in the caller's transaction.

Workers and the dispatcher call them with their connection, the front door by `await connection.run_sync(stop_job, …)`.
"""

from typing import Any
from uuid import UUID

from sqlalchemy import Connection

from db.counters import ITEMS, JOBS_ENDED
from db.statements import leader, reap, stop, tiles
from db.states import FINAL_JOB_STATES, ItemReason, JobReason


def stop_job(connection: Connection, job_id: UUID, reason: JobReason, detail: str | None = None) -> bool:
    """End a job before its last chunk has ended. False: it had ended before, or does not exist.

    The job is locked first, because every transaction locks a job before its chunks, and those before its jobs of
    tiles. Cancelling the chunks makes the next write of their workers fail, so that no more tiles are planned.
    """
    state = connection.execute(*stop.lock_job(job_id)).scalar_one_or_none()
    if state is None or state in FINAL_JOB_STATES:
        return False
    connection.execute(*stop.cancel_chunks(job_id))
    ended = connection.execute(*stop.stop_job(job_id, reason=reason, detail=detail)).one()
    for of_an_item in connection.execute(*tiles.unfinished(job_id)).scalars().all():
        stop_job(connection, of_an_item, reason, detail)
    _count(ended)
    connection.execute(*leader.wake_dispatcher())
    return True


def finish_job(connection: Connection, job_id: UUID) -> bool:
    """End a job whose last chunk has ended. False: a chunk is unfinished, or the job had ended before.

    Use a transaction of its own, after the commit that ended the chunk. Two chunks that end at the same time do not see
    each other before that, and neither would finish the job.
    """
    ended = connection.execute(*stop.finish_job(job_id)).one_or_none()
    if ended is not None:
        _count(ended)
    return ended is not None


def _count(ended: Any) -> None:
    if ended.tile_of is None:
        JOBS_ENDED.labels(ended.state).inc()


def fail_items(
    connection: Connection, row: Any, index: int | None, detail: str, reason: ItemReason = ItemReason.WORKER_LOST
) -> None:
    """Record one item (`index`) or every missing one of a chunk as failed."""
    fail = reap.fail_items(
        row.job_id,
        row.chunk_no,
        fence=row.fence,
        attempt=row.attempts,
        index=index,
        reason=reason,
        detail=detail,
    )
    ITEMS.labels("failed", reason).inc(connection.execute(*fail).scalar_one_or_none() or 0)
