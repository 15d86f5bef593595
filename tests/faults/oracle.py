"""The oracle: once everything has ended, check what came out against what was submitted, and the invariants I1-I8.

I1 one terminal result an item · I2 none unexpected · I3 counts add up · I4 one terminal transition and one event a
job · I5 no write from a stale attempt · I6 only poison fails as WORKER_LOST · I7 is each test's own deadline ·
I8 no lease is left
"""

from uuid import UUID

from sqlalchemy import text

from tests.faults.cluster import Cluster, until

# One row a violated rule and job; no rows is the proof. A job without a tenant is being removed, row by row.
VIOLATIONS = {
    "I1 lost": """
        SELECT j.id, count(*) FROM jobs j JOIN items i ON i.job_id = j.id
        LEFT JOIN results r ON r.job_id = i.job_id AND r.index = i.index
        WHERE j.state IN ('succeeded', 'partially_succeeded') AND j.tenant_id IS NOT NULL AND r.index IS NULL
        GROUP BY j.id""",
    "I1 doubled": "SELECT job_id, index FROM results GROUP BY job_id, index HAVING count(*) > 1",
    "I2 unexpected": """
        SELECT r.job_id, r.index FROM results r LEFT JOIN items i ON i.job_id = r.job_id AND i.index = r.index
        WHERE i.index IS NULL""",
    "I3 counts of chunks": """
        SELECT c.job_id, c.chunk_no FROM chunks c JOIN jobs j ON j.id = c.job_id AND j.tenant_id IS NOT NULL
        LEFT JOIN results r ON r.job_id = c.job_id AND r.index >= c.lo AND r.index < c.hi
        GROUP BY c.job_id, c.chunk_no, c.n_ok, c.n_err
        HAVING count(*) FILTER (WHERE r.state = 'succeeded') <> c.n_ok
            OR count(*) FILTER (WHERE r.state = 'failed') <> c.n_err""",
    "I3 reasons": """
        SELECT job_id, chunk_no FROM chunks
        WHERE n_err <> (SELECT coalesce(sum(value::int), 0) FROM jsonb_each_text(reasons))""",
    "I3 state": """
        SELECT j.id, j.state FROM jobs j JOIN (SELECT job_id, sum(n_ok) AS ok, sum(n_err) AS err FROM chunks
        GROUP BY job_id) c ON c.job_id = j.id
        WHERE j.tenant_id IS NOT NULL AND ((j.state = 'succeeded' AND c.ok <> j.n_items)
           OR (j.state = 'partially_succeeded' AND (c.ok + c.err <> j.n_items OR c.ok = 0 OR c.err = 0))
           OR (j.state = 'failed' AND c.ok > 0 AND j.max_failure_ratio IS NULL))""",
    "I4 events": """
        SELECT j.id, count(o.id) FROM jobs j LEFT JOIN outbox o ON o.job_id = j.id
        GROUP BY j.id HAVING count(o.id) <> 1""",
    "I4 transitions": """
        SELECT job_id, count(*) FROM audit_jobs
        WHERE state IN ('succeeded', 'partially_succeeded', 'failed', 'cancelled', 'expired')
        GROUP BY job_id HAVING count(*) > 1""",
    "I4 not ended": "SELECT id, state FROM jobs WHERE ended_at IS NULL",
    "I5 stale": "SELECT job_id, index, fence, held, state FROM audit_stale",
    "I6 bystanders": """
        SELECT r.job_id, r.index, i.image FROM results r JOIN items i ON i.job_id = r.job_id AND i.index = r.index
        WHERE r.reason = 'WORKER_LOST' AND i.image NOT LIKE '%/poison/%'""",
    "I8 leases": "SELECT job_id, chunk_no FROM chunks WHERE state IN ('ready', 'dispatched', 'leased')",
}


def violations(cluster: Cluster) -> dict[str, list[tuple[object, ...]]]:
    """Every broken rule with the rows that break it."""
    with cluster.engine.connect() as connection:
        found = {rule: [tuple(row) for row in connection.execute(text(sql))] for rule, sql in VIOLATIONS.items()}
    return {rule: rows for rule, rows in found.items() if rows}


def drain(cluster: Cluster, seconds: float = 60) -> None:
    """Until every job has ended and Redis holds no message."""
    open_jobs = "SELECT count(*) FROM jobs WHERE ended_at IS NULL"
    until("the end of every job", seconds, lambda: cluster.ask(open_jobs) == 0)
    until("an empty queue", 10, lambda: cluster.queued() == 0)


def check(cluster: Cluster, seconds: float = 60) -> None:
    """Drain, then hold everything that this stack ever did against the rules."""
    drain(cluster, seconds)
    found = violations(cluster)
    assert not found, found


def outcome(cluster: Cluster, job: UUID) -> dict[str, int]:
    """How many results have which reason; `ok` is success."""
    sql = "SELECT coalesce(reason, 'ok') AS said, count(*) AS n FROM results WHERE job_id = :job GROUP BY said"
    with cluster.engine.connect() as connection:
        return {row.said: row.n for row in connection.execute(text(sql), {"job": job})}
