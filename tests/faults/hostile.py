"""A hostile transaction of the database's superuser: it makes others deadlock, or lose to a concurrent update.

Its own `deadlock_timeout` is so long that whoever it embraces finds the deadlock first and is the victim.
"""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, text
from sqlalchemy.exc import OperationalError

from tests.faults.cluster import Cluster, TooLate, until

CLAIM_RESULTS = """
INSERT INTO results (job_id, index, state, fence, attempt, reason, detail, retryable)
SELECT i.job_id, i.index, 'failed', 0, 1, 'INTERNAL', 'never committed', false
FROM items i JOIN chunks c ON c.job_id = i.job_id AND c.lo <= i.index AND i.index < c.hi
WHERE c.job_id = :job AND c.chunk_no = :chunk ON CONFLICT DO NOTHING
"""
CLAIM_SUSPECTS = """
INSERT INTO suspects (job_id, index) SELECT i.job_id, i.index
FROM items i JOIN chunks c ON c.job_id = i.job_id AND c.lo <= i.index AND i.index < c.hi
WHERE c.job_id = :job AND c.chunk_no = :chunk ON CONFLICT DO NOTHING
"""
TOUCH_CHUNK = "UPDATE chunks SET n_ok = n_ok WHERE job_id = :job AND chunk_no = :chunk"
TOUCH_JOB = "UPDATE jobs SET name = name WHERE id = :job"


@contextmanager
def hostile(cluster: Cluster) -> Iterator[Connection]:
    """An open transaction; taken back at the end unless the block commits it."""
    with cluster.admin.connect() as connection:
        connection.exec_driver_sql("SET LOCAL deadlock_timeout = '20s'")
        connection.exec_driver_sql("SET LOCAL idle_in_transaction_session_timeout = 0")
        yield connection
        connection.rollback()


def waits(cluster: Cluster, connection: Connection) -> bool:
    """Whether somebody of ours waits for what this connection holds."""
    here = connection.execute(text("SELECT pg_backend_pid()")).scalar_one()
    sql = "SELECT count(*) FROM pg_stat_activity WHERE usename = 'maskworks' AND :here = ANY(pg_blocking_pids(pid))"
    return int(cluster.ask(sql, here=here)) > 0


def embrace(cluster: Cluster, job: UUID, chunk: int, first: str, then: str) -> bool:
    """Hold what `first` locks until somebody waits for it, then want what they hold, which Postgres finds within a
    second. False: nobody came by, or they had waited for longer already and ran into their lock timeout instead."""
    names = {"job": job, "chunk": chunk}
    with hostile(cluster) as connection:
        connection.execute(text(first), names)
        try:
            until("somebody in our way", 8, lambda: waits(cluster, connection), every=0.01)
            wanted = time.monotonic()
            connection.execute(text(then), names)
        except (TooLate, OperationalError):
            return False
        return time.monotonic() - wanted < 5


def outdate(cluster: Cluster, job: UUID, chunk: int) -> bool:
    """Change a chunk's row under whoever waits to change it. False: nobody came by in time."""
    with hostile(cluster) as connection:
        connection.execute(text(TOUCH_CHUNK), {"job": job, "chunk": chunk})
        try:
            until("somebody in our way", 8, lambda: waits(cluster, connection), every=0.01)
        except TooLate:
            return False
        connection.commit()
        return True


def deadlocks(cluster: Cluster) -> int:
    """Found by Postgres so far."""
    return int(cluster.ask("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"))


@contextmanager
def beside(do: Callable[[], Any]) -> Iterator["Future[Any]"]:
    """`do` in a thread of its own, during the block."""
    with ThreadPoolExecutor(1) as pool:
        yield pool.submit(do)


def leased(cluster: Cluster, job: UUID) -> int:
    """A chunk of the job that is in work now."""
    sql = "SELECT min(chunk_no) FROM chunks WHERE job_id = :job AND state = 'leased'"
    until("a chunk in work", 20, lambda: cluster.ask(sql, job=job) is not None, every=0.01)
    found: int = cluster.ask(sql, job=job)
    return found
