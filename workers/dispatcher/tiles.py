"""The leader's part in items that are segmented by windows: those that wait go on, and old tiles are forgotten."""

import logging

from sqlalchemy import Engine

from db import endings
from db.limits import MAX_TILED_AT_ONCE
from db.statements import tiles as sql
from db.states import JobReason
from workers.dispatcher.unexpected_errors import UnexpectedErrors
from workers.testing import crash_points

log = logging.getLogger(__name__)


def look_after(engine: Engine, errors: UnexpectedErrors) -> None:
    """End jobs of tiles that nobody waits for, forget those whose item is final, and release chunks of the others.

    The first is for a job that code of an older release has stopped, or whose chunk has failed: no tile is computed for
    nothing.
    """
    with engine.connect() as connection:
        orphans = connection.execute(*sql.orphans()).scalars().all()
    for job_id in orphans:
        with errors.job("stopping tiles", job_id), engine.begin() as connection:
            endings.stop_job(connection, job_id, JobReason.CANCELLED_BY_CLIENT)
    with engine.begin() as connection:
        connection.execute(*sql.forget())
    crash_points.reach("releasing")
    with engine.begin() as connection:
        connection.execute(*sql.release())
        connection.execute(*sql.make_room(most=MAX_TILED_AT_ONCE))
