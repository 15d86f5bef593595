"""Which chunks get a message in Redis next, and which need a second one."""

from typing import Final
from uuid import UUID

from sqlalchemy import TextClause, text

from db.queues import PROTOCOL_SUFFIX, TEXT_SUFFIX
from db.statements.bound import Bound, bound

_QUEUE: Final = (
    f"j.model || CASE WHEN j.task->>'type' = 'text' THEN '{TEXT_SUFFIX}' ELSE '' END"
    f" || CASE WHEN j.protocol > 1 THEN '{PROTOCOL_SUFFIX}' || j.protocol ELSE '' END"
)
"""The queue of a job `j` (`db.queues`)."""


def windows(*, alive_seconds: float) -> Bound:
    """For each queue with open jobs: the slots of its workers seen lately, and how many messages it has."""
    return bound(_WINDOWS, alive=alive_seconds)


_WINDOWS: Final[TextClause] = text(
    f"""
    SELECT q.queue,
      (SELECT coalesce(sum(w.slots), 0) FROM workers w
        WHERE w.model = q.model AND (NOT q.is_text OR 'text' = ANY(w.tasks)) AND w.protocol >= q.protocol
          AND w.seen_at > clock_timestamp() - make_interval(secs => :alive)) AS slots,
      (SELECT count(*) FROM chunks c JOIN jobs j ON j.id = c.job_id
        WHERE c.state = 'dispatched' AND {_QUEUE} = q.queue) AS dispatched
    FROM (SELECT DISTINCT {_QUEUE} AS queue, j.model, j.protocol, j.task->>'type' IS NOT DISTINCT FROM 'text' AS is_text
      FROM jobs j WHERE j.state IN ('pending', 'running')) q
    """
)


def fill_window(queue: str, *, room: int, job_room: int) -> Bound:
    """ready → dispatched for at most `room` chunks of a queue, in fair order, at most `job_room` messages a job.

    The rule is weighted fair queueing over images in work, those of chunks that are dispatched or leased. Each chunk
    has a turn. The lowest turn goes first:

        tenant's turn = images of the tenant in work, once this chunk is / weight of the tenant
        job's turn    = images of the job in work, once this chunk is / 2^(priority - 5)

    The tenant's turn decides between tenants, the job's turn between the jobs of one tenant. Both count what is in work
    and not what is waiting, so a job of ten images never waits for the rest of a job of a million.

    Example: all chunks have 16 images. Tenant A (weight 1) has 16 images in work, B (weight 2) has none. The turns of
    A's chunks are 32, 48, …, those of B's are 8, 16, 24, 32, 40, …. A window with room for five takes B, B, B, A, B:
    two thirds of the work are B's then. The tie at 32 goes to the lower turn of a job.

    Each row has the `share` of the weighted work that its job has once the chunk is dispatched: the less, the more
    urgent its message. It is 0 after the death of a worker, because the chunk has waited for a lease to end.

    Only the first `room` chunks of a job are read, so a long job costs no more than a short one.
    """
    return bound(_FILL_WINDOW, queue=queue, room=room, job_room=job_room)


_FILL_WINDOW: Final[TextClause] = text(
    f"""
    WITH jobs_in_work AS (
      SELECT job_id, sum(hi - lo - n_ok - n_err) AS images, count(*) FILTER (WHERE state = 'dispatched') AS messages
      FROM chunks WHERE state IN ('dispatched', 'leased') GROUP BY job_id),
    open_jobs AS (
      SELECT j.id, j.tenant_id, t.weight AS tenant_weight, power(2, j.priority - 5) AS job_weight,
        coalesce(w.images, 0) AS in_work, :job_room - coalesce(w.messages, 0) AS job_room
      FROM jobs j JOIN tenants t ON t.id = j.tenant_id LEFT JOIN jobs_in_work w ON w.job_id = j.id
      WHERE j.state IN ('pending', 'running') AND {_QUEUE} = :queue
        AND (j.deadline IS NULL OR j.deadline > clock_timestamp())),
    tenants_in_work AS (SELECT tenant_id, sum(in_work) AS images FROM open_jobs GROUP BY tenant_id),
    job_turns AS (
      SELECT o.*, c.chunk_no, c.images,
        (o.in_work + sum(c.images) OVER (PARTITION BY o.id ORDER BY c.chunk_no)) / o.job_weight AS job_turn
      FROM open_jobs o CROSS JOIN LATERAL (
        SELECT chunk_no, hi - lo - n_ok - n_err AS images FROM chunks
        WHERE job_id = o.id AND state = 'ready' AND (run_after IS NULL OR run_after <= clock_timestamp())
        ORDER BY chunk_no LIMIT greatest(least(:room, o.job_room), 0)) c),
    tenant_turns AS (
      SELECT j.id, j.chunk_no, j.job_turn, j.in_work / j.job_weight AS turn_before,
        (coalesce(w.images, 0) + sum(j.images) OVER (PARTITION BY j.tenant_id ORDER BY j.job_turn, j.id, j.chunk_no))
          / j.tenant_weight AS tenant_turn
      FROM job_turns j LEFT JOIN tenants_in_work w USING (tenant_id)),
    chosen AS (SELECT * FROM tenant_turns ORDER BY tenant_turn, job_turn, id, chunk_no LIMIT :room),
    locked AS (
      SELECT c.job_id, c.chunk_no FROM chunks c JOIN chosen p ON p.id = c.job_id AND p.chunk_no = c.chunk_no
      WHERE c.state = 'ready' FOR UPDATE OF c SKIP LOCKED),
    dispatched AS (
      UPDATE chunks c SET state = 'dispatched', dispatched_at = clock_timestamp()
      FROM locked l WHERE c.job_id = l.job_id AND c.chunk_no = l.chunk_no
      RETURNING c.job_id, c.chunk_no, c.stalls)
    SELECT d.job_id, d.chunk_no, CASE WHEN d.stalls > 0 THEN 0
      ELSE p.job_turn / (p.job_turn - p.turn_before + (SELECT sum(in_work / job_weight) FROM open_jobs)) END AS share
    FROM dispatched d JOIN chosen p ON p.id = d.job_id AND p.chunk_no = d.chunk_no
    ORDER BY p.tenant_turn, p.job_turn, d.job_id, d.chunk_no
    """
)


def open_jobs(queue: str) -> Bound:
    """Jobs whose chunks may be dispatched, oldest first."""
    return bound(_OPEN_JOBS, queue=queue)


_OPEN_JOBS: Final[TextClause] = text(
    f"""
    SELECT j.id FROM jobs j WHERE j.state IN ('pending', 'running') AND {_QUEUE} = :queue
      AND (j.deadline IS NULL OR j.deadline > clock_timestamp()) ORDER BY j.id
    """
)


def fill_job(job_id: UUID, *, room: int) -> Bound:
    """ready → dispatched for at most `room` chunks of one job; for when the row of one job fails `fill_window`."""
    return bound(_FILL_JOB, job=job_id, room=room)


_FILL_JOB: Final[TextClause] = text(
    """
    UPDATE chunks c SET state = 'dispatched', dispatched_at = clock_timestamp()
    FROM (SELECT job_id, chunk_no FROM chunks
      WHERE job_id = :job AND state = 'ready' AND (run_after IS NULL OR run_after <= clock_timestamp())
      ORDER BY chunk_no LIMIT :room FOR UPDATE SKIP LOCKED) l
    WHERE c.job_id = l.job_id AND c.chunk_no = l.chunk_no
    RETURNING c.job_id, c.chunk_no, 0.0 AS share
    """
)


def announced_chunks(*, age_seconds: float) -> Bound:
    """Dispatched chunks whose message was sent more than that long ago: it is in Redis, at a worker, or lost."""
    return bound(_ANNOUNCED_CHUNKS, age=age_seconds)


_ANNOUNCED_CHUNKS: Final[TextClause] = text(
    f"""
    SELECT c.job_id, c.chunk_no, {_QUEUE} AS queue FROM chunks c JOIN jobs j ON j.id = c.job_id
    WHERE c.state = 'dispatched' AND c.dispatched_at < clock_timestamp() - make_interval(secs => :age)
    """
)


def announce_again(job_id: UUID, chunk_nos: list[int]) -> Bound:
    """Of a job's chunks whose message is lost, those that still wait for one: it is to be sent again."""
    return bound(_ANNOUNCE_AGAIN, job=job_id, chunks=chunk_nos)


_ANNOUNCE_AGAIN: Final[TextClause] = text(
    """
    UPDATE chunks SET dispatched_at = clock_timestamp()
    WHERE job_id = :job AND chunk_no = ANY(CAST(:chunks AS integer[])) AND state = 'dispatched'
    RETURNING job_id, chunk_no
    """
)
