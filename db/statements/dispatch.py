"""The leader's statements: who leads, what goes into the window of Redis, what must be announced again."""

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
      SELECT job_id, sum(hi - lo - n_ok - n_err) AS images, count(*) FILTER (WHERE state = 'dispatched') AS waiting
      FROM chunks WHERE state IN ('dispatched', 'leased') GROUP BY job_id),
    open AS (
      SELECT j.id, j.tenant_id, t.weight, power(2, j.priority - 5) AS share,
        coalesce(b.images, 0) AS busy, :each - coalesce(b.waiting, 0) AS room
      FROM jobs j JOIN tenants t ON t.id = j.tenant_id LEFT JOIN busy b ON b.job_id = j.id
      WHERE j.state IN ('pending', 'running') AND j.model = :model
        AND (j.deadline IS NULL OR j.deadline > clock_timestamp())),
    by_job AS (
      SELECT o.*, c.chunk_no, c.images,
        (o.busy + sum(c.images) OVER (PARTITION BY o.id ORDER BY c.chunk_no)) / o.share AS turn
      FROM open o CROSS JOIN LATERAL (
        SELECT chunk_no, hi - lo - n_ok - n_err AS images FROM chunks
        WHERE job_id = o.id AND state = 'ready' AND (run_after IS NULL OR run_after <= clock_timestamp())
        ORDER BY chunk_no LIMIT greatest(least(:room, o.room), 0)) c),
    by_tenant AS (
      SELECT b.id, b.chunk_no, b.turn, b.busy / b.share AS before,
        (coalesce(tb.n, 0) + sum(b.images) OVER (PARTITION BY b.tenant_id ORDER BY b.turn, b.id, b.chunk_no)) / b.weight
          AS tenant_turn
      FROM by_job b LEFT JOIN (SELECT tenant_id, sum(busy) AS n FROM open GROUP BY tenant_id) tb USING (tenant_id)),
    pick AS (SELECT * FROM by_tenant ORDER BY tenant_turn, turn, id, chunk_no LIMIT :room),
    locked AS (
      SELECT c.job_id, c.chunk_no FROM chunks c JOIN pick p ON p.id = c.job_id AND p.chunk_no = c.chunk_no
      WHERE c.state = 'ready' FOR UPDATE OF c SKIP LOCKED),
    marked AS (
      UPDATE chunks c SET state = 'dispatched', dispatched_at = clock_timestamp()
      FROM locked l WHERE c.job_id = l.job_id AND c.chunk_no = l.chunk_no
      RETURNING c.job_id, c.chunk_no, c.stalls)
    SELECT m.job_id, m.chunk_no, CASE WHEN m.stalls > 0 THEN 0
      ELSE p.turn / (p.turn - p.before + (SELECT sum(busy / share) FROM open)) END AS share
    FROM marked m JOIN pick p ON p.id = m.job_id AND p.chunk_no = m.chunk_no
    ORDER BY p.tenant_turn, p.turn, m.job_id, m.chunk_no
    """
)
"""ready → dispatched for at most `room` chunks of a model, in fair order, at most `each` messages a job.

First tenants by (their busy images + this one's place) / weight, then their jobs the same way by 2^(priority - 5):
a job of ten images is never behind the million of another. Top-k per job, so a long job costs no more than a short.
`share`: how much of what is in work the chunk's job has once this one is, from which its message gets its urgency;
0 for a chunk whose worker died: it has waited for a lease, and needs not wait for the window as well.
"""

OPEN_JOBS: TextClause = text(
    """
    SELECT id FROM jobs WHERE state IN ('pending', 'running') AND model = :model
      AND (deadline IS NULL OR deadline > clock_timestamp()) ORDER BY id
    """
)

FILL_JOB: TextClause = text(
    """
    UPDATE chunks c SET state = 'dispatched', dispatched_at = clock_timestamp()
    FROM (SELECT job_id, chunk_no FROM chunks
      WHERE job_id = :job AND state = 'ready' AND (run_after IS NULL OR run_after <= clock_timestamp())
      ORDER BY chunk_no LIMIT :each FOR UPDATE SKIP LOCKED) l
    WHERE c.job_id = l.job_id AND c.chunk_no = l.chunk_no
    RETURNING c.job_id, c.chunk_no, 0.0 AS share
    """
)
"""ready → dispatched for at most `each` chunks of one job, where another job's row makes `FILL_WINDOW` fail."""

WAITING: TextClause = text(
    """
    SELECT c.job_id, c.chunk_no, j.model FROM chunks c JOIN jobs j ON j.id = c.job_id
    WHERE c.state = 'dispatched' AND c.dispatched_at < clock_timestamp() - make_interval(secs => :age)
    """
)
"""Dispatched chunks whose message was sent more than `age` seconds ago: it should be in Redis, or be claimed soon."""

ANNOUNCE_AGAIN: TextClause = text(
    """
    UPDATE chunks c SET dispatched_at = clock_timestamp()
    FROM unnest(CAST(:jobs AS uuid[]), CAST(:chunks AS integer[])) AS lost(job_id, chunk_no)
    WHERE c.job_id = lost.job_id AND c.chunk_no = lost.chunk_no AND c.state = 'dispatched'
    RETURNING c.job_id, c.chunk_no
    """
)
"""Of the chunks whose message is lost, those that still wait for it: to be sent again."""

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
