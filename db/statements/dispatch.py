"""The leader's statements: who leads, what goes into the window of Redis, what must be rung again."""

from sqlalchemy import TextClause, text

LEAD: TextClause = text(
    """
    INSERT INTO leader AS l (role, holder, term, lease_until)
    VALUES ('dispatcher', :holder, 1, clock_timestamp() + make_interval(secs => :lease))
    ON CONFLICT (role) DO UPDATE SET
      holder = excluded.holder, lease_until = excluded.lease_until,
      term = l.term + (l.holder <> excluded.holder)::int
    WHERE l.holder = excluded.holder OR l.lease_until < clock_timestamp()
    RETURNING term
    """
)
"""Become or stay the leader. No row: somebody else leads, by the database's clock."""

RESIGN: TextClause = text("DELETE FROM leader WHERE role = 'dispatcher' AND holder = :holder")

WINDOWS: TextClause = text(
    """
    SELECT m.model,
      (SELECT coalesce(sum(w.slots), 0) FROM workers w
        WHERE w.model = m.model AND w.seen_at > clock_timestamp() - make_interval(secs => :alive)) AS slots,
      (SELECT count(*) FROM chunks c JOIN jobs j ON j.id = c.job_id
        WHERE c.state = 'dispatched' AND j.model = m.model) AS dispatched
    FROM (SELECT DISTINCT model FROM jobs WHERE state IN ('pending', 'running')) m
    """
)
"""For each model with open jobs: slots of live workers, and messages that should be in Redis."""

FILL_WINDOW: TextClause = text(
    """
    WITH busy AS (
      SELECT job_id, count(*) AS n FROM chunks WHERE state IN ('dispatched', 'leased') GROUP BY job_id),
    open AS (
      SELECT j.id, j.tenant_id, t.weight, power(2, j.priority - 5) AS share, coalesce(b.n, 0) AS busy
      FROM jobs j JOIN tenants t ON t.id = j.tenant_id LEFT JOIN busy b ON b.job_id = j.id
      WHERE j.state IN ('pending', 'running') AND j.model = :model
        AND (j.deadline IS NULL OR j.deadline > clock_timestamp())),
    by_job AS (
      SELECT o.*, c.chunk_no, (o.busy + row_number() OVER (PARTITION BY o.id ORDER BY c.chunk_no)) / o.share AS turn
      FROM open o CROSS JOIN LATERAL (
        SELECT chunk_no FROM chunks
        WHERE job_id = o.id AND state = 'ready' AND (run_after IS NULL OR run_after <= clock_timestamp())
        ORDER BY chunk_no LIMIT :room) c),
    by_tenant AS (
      SELECT b.id, b.chunk_no, b.turn,
        (coalesce(tb.n, 0) + row_number() OVER (PARTITION BY b.tenant_id ORDER BY b.turn, b.id)) / b.weight
          AS tenant_turn
      FROM by_job b LEFT JOIN (SELECT tenant_id, sum(busy) AS n FROM open GROUP BY tenant_id) tb USING (tenant_id)),
    pick AS (SELECT id, chunk_no FROM by_tenant ORDER BY tenant_turn, turn, id, chunk_no LIMIT :room)
    UPDATE chunks c SET state = 'dispatched', dispatched_at = clock_timestamp()
    FROM pick WHERE c.job_id = pick.id AND c.chunk_no = pick.chunk_no AND c.state = 'ready'
    RETURNING c.job_id, c.chunk_no
    """
)
"""ready → dispatched for at most `room` chunks of a model, in fair order.

First tenants by (their busy chunks + this one's place) / weight, then their jobs the same way by 2^(priority - 5):
a job of ten images is never behind the million of another. Top-k per job, so a long job costs no more than a short.
"""

RING_AGAIN: TextClause = text(
    """
    UPDATE chunks c SET dispatched_at = clock_timestamp() FROM jobs j
    WHERE j.id = c.job_id AND c.state = 'dispatched'
      AND c.dispatched_at < clock_timestamp() - make_interval(secs => :age)
    RETURNING c.job_id, c.chunk_no, j.model
    """
)
"""Dispatched chunks whose message has been on its way for longer than `age` seconds: to be sent again."""

EXPECTED_MESSAGES: TextClause = text(
    """
    SELECT count(*) FROM chunks
    WHERE state IN ('dispatched', 'leased') AND dispatched_at < clock_timestamp() - make_interval(secs => :age)
    """
)
"""How many messages Redis should hold, queued or unacknowledged, of those sent more than `age` seconds ago."""

SEEN: TextClause = text(
    """
    INSERT INTO workers (id, model, model_revision, device, precision, slots)
    VALUES (:id, :model, :model_revision, :device, :precision, :slots)
    ON CONFLICT (id, model) DO UPDATE SET seen_at = clock_timestamp()
    """
)
"""A worker's sign of life, one row for each model it has loaded."""

GONE: TextClause = text("DELETE FROM workers WHERE id = :id")

FORGET_WORKERS: TextClause = text("DELETE FROM workers WHERE seen_at < clock_timestamp() - interval '1 hour'")
