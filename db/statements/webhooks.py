"""Statements on webhooks: asked for at submit, sent by the leader once the job has ended, logged try by try.

A sender holds a delivery by a lease and a fence. A sender that dies records nothing, and after its lease another sends
the event again, with the same id.
"""

from collections.abc import Sequence
from typing import Final
from uuid import UUID

from sqlalchemy import ColumnElement, TextClause, and_, func, insert, literal, or_, select, text, update

from db.statements.bound import Bound, bound
from db.statements.clock import now, seconds
from db.states import FINAL_JOB_STATES, WebhookState
from db.tables import WEBHOOK_STATE, jobs, webhook_secrets, webhook_tries, webhooks

EVENTS: Final = tuple(f"job.{state.value}" for state in sorted(FINAL_JOB_STATES))
"""What a webhook may ask for: one event for each final state of a job."""


_ENDED: Final = and_(jobs.c.id == webhooks.c.job_id, jobs.c.state.in_(list(FINAL_JOB_STATES)))


def insert_webhook(job_id: UUID, url: str, events: Sequence[str]) -> Bound:
    """Ask for the event of a new job, in the transaction that stores it."""
    return bound(insert(webhooks).values(job_id=job_id, url=url, events=list(events)))


def copy_webhook(job_id: UUID, new: UUID) -> Bound:
    """Ask for the event of a retry as of the job that it retries, where that has a webhook."""
    asked = select(literal(new, webhooks.c.job_id.type), webhooks.c.url, webhooks.c.events)
    return bound(insert(webhooks).from_select(["job_id", "url", "events"], asked.where(webhooks.c.job_id == job_id)))


def insert_secret(tenant: str, seed: bytes) -> Bound:
    """The seed of a secret for this tenant's deliveries from now on."""
    row = insert(webhook_secrets).values(tenant_id=tenant, seed=seed, created_at=now())
    return bound(row.returning(webhook_secrets.c.id, webhook_secrets.c.created_at))


def expire_secrets(tenant: str, *, overlap_seconds: float) -> Bound:
    """Let the secrets of this tenant end after so long. Those that end before stay as they are."""
    end = now() + seconds(overlap_seconds)
    lasting = or_(webhook_secrets.c.expires_at.is_(None), webhook_secrets.c.expires_at > end)
    return bound(update(webhook_secrets).where(webhook_secrets.c.tenant_id == tenant, lasting).values(expires_at=end))


def valid_secrets(tenant: str) -> Bound:
    """The secrets that deliveries are signed with, the newest first."""
    valid = or_(webhook_secrets.c.expires_at.is_(None), webhook_secrets.c.expires_at > now())
    columns = webhook_secrets.c.id, webhook_secrets.c.seed, webhook_secrets.c.created_at, webhook_secrets.c.expires_at
    found = select(*columns).where(webhook_secrets.c.tenant_id == tenant, valid)
    return bound(found.order_by(webhook_secrets.c.id.desc()))


def webhook(tenant: str, job_id: UUID) -> Bound:
    """The webhook of a job. No row: the tenant has no such job, or it asked for none."""
    columns = webhooks.c.url, webhooks.c.events, webhooks.c.state, webhooks.c.run_after
    mine = and_(jobs.c.id == job_id, jobs.c.tenant_id == tenant)
    return bound(select(*columns).select_from(webhooks.join(jobs, jobs.c.id == webhooks.c.job_id)).where(mine))


def tries(job_id: UUID, *, limit: int) -> Bound:
    """The last tries of a job's delivery, the newest first."""
    found = select(*(column for column in webhook_tries.c if column.name != "job_id"))
    return bound(found.where(webhook_tries.c.job_id == job_id).order_by(webhook_tries.c.number.desc()).limit(limit))


def redeliver(job_id: UUID) -> Bound:
    """Send the event again, from the first try on. No row: it is pending already, or its job has not ended."""
    again = {"state": WebhookState.PENDING, "tries": 0, "fence": webhooks.c.fence + 1}
    chosen = and_(webhooks.c.job_id == job_id, webhooks.c.state != WebhookState.PENDING, _ENDED)
    return bound(update(webhooks).where(chosen).values(**again).returning(webhooks.c.job_id))


def skip_unwanted() -> Bound:
    """pending → skipped, for jobs that ended in a state that was not asked for, unless a client asked for it since."""
    unwanted = func.concat("job.", jobs.c.state) != func.all(webhooks.c.events)
    chosen = and_(webhooks.c.state == WebhookState.PENDING, webhooks.c.fence == 0, _ENDED, unwanted)
    return bound(update(webhooks).where(chosen).values(state=WebhookState.SKIPPED, lease_until=None, run_after=None))


def claim(*, most: int, of_tenant: int, lease_seconds: float) -> Bound:
    """Hold the deliveries that have waited longest, `fence + 1`: `most` of them, and at most `of_tenant` of a tenant.

    Returns what a sender needs, with the time of the database.
    """
    return bound(_CLAIM, most=most, of_tenant=of_tenant, lease_seconds=lease_seconds)


def record(
    job_id: UUID, fence: int, *, state: WebhookState, status: int | None, error: str | None, ms: int, wait: float
) -> Bound:
    """Log a try, and say how the delivery goes on: with another try after `wait` seconds where `state` is pending.

    No row: the lease was lost, or the job deleted.
    """
    pending = state == WebhookState.PENDING
    held = (
        update(webhooks)
        .where(webhooks.c.job_id == job_id, webhooks.c.fence == fence, webhooks.c.state == WebhookState.PENDING)
        .values(
            state=literal(state, WEBHOOK_STATE),
            tries=webhooks.c.tries + 1,
            lease_until=None,
            run_after=now() + seconds(wait) if pending else None,
        )
        .returning(webhooks.c.job_id)
        .cte("held")
    )
    number: ColumnElement[int] = (
        select(func.coalesce(func.max(webhook_tries.c.number), 0) + 1)
        .where(webhook_tries.c.job_id == job_id)
        .scalar_subquery()
    )
    logged = select(
        held.c.job_id,
        number,
        now(),
        literal(status, webhook_tries.c.status.type),
        literal(error, webhook_tries.c.error.type),
        literal(ms),
    )
    columns = ["job_id", "number", "created_at", "status", "error", "duration_ms"]
    return bound(insert(webhook_tries).from_select(columns, logged).returning(webhook_tries.c.number))


_CLAIM: Final[TextClause] = text(
    f"""
    WITH pending AS (
      SELECT w.job_id, w.fence, coalesce(w.run_after, j.ended_at) AS due,
        coalesce(w.lease_until > clock_timestamp(), false) AS held, j.tenant_id
      FROM webhooks w JOIN jobs j ON j.id = w.job_id
      WHERE w.state = 'pending' AND j.state IN ({", ".join(f"'{state.value}'" for state in sorted(FINAL_JOB_STATES))})
        AND (w.run_after IS NULL OR w.run_after <= clock_timestamp())),
    placed AS (
      SELECT *, row_number() OVER (PARTITION BY tenant_id ORDER BY held DESC, due, job_id) AS place FROM pending),
    chosen AS (
      SELECT w.job_id FROM webhooks w JOIN placed p ON p.job_id = w.job_id AND p.fence = w.fence
      WHERE NOT p.held AND p.place <= :of_tenant AND w.state = 'pending'
      ORDER BY p.due, p.job_id LIMIT :most FOR NO KEY UPDATE OF w SKIP LOCKED)
    UPDATE webhooks w SET fence = w.fence + 1, lease_until = clock_timestamp() + :lease_seconds * interval '1 second'
    FROM chosen, jobs j WHERE w.job_id = chosen.job_id AND j.id = w.job_id
    RETURNING w.job_id, w.fence, w.tries, w.url, j.tenant_id, clock_timestamp() AS now
    """
)
