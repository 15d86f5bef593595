"""How a failed attempt, an item or a job is ended. Workers and the dispatcher write the same rows."""

import random
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Engine

from db import endings
from db.statements import reap
from db.states import ItemReason, JobReason

_BACKOFF_BASE = 0.25
_BACKOFF_CAP = 60.0


def backoff(stalls: int) -> float:
    """Seconds that a chunk waits after so many attempts in a row without a new result."""
    return min(_BACKOFF_CAP, _BACKOFF_BASE * 2.0 ** max(0, stalls - 1)) * (0.5 + random.random() / 2)


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
    connection.execute(*fail)


def stop_job(engine: Engine, job_id: UUID, reason: JobReason, detail: str) -> bool:
    """End a job in a transaction of its own. False: it had ended before."""
    with engine.begin() as connection:
        return endings.stop_job(connection, job_id, reason, detail)
