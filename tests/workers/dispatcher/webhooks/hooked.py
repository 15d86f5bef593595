"""Jobs that have a webhook, and what became of its delivery."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import Engine, select

from db.endings import stop_job
from db.statements import webhooks as sql
from db.states import JobReason, WebhookState
from db.tables import webhook_tries, webhooks
from db.webhook_secret import new_seed
from tests.jobs import submit
from tests.waiting import wait_for


def cancelled_job(engine: Engine, url: str, events: Sequence[str] = sql.EVENTS, tenant: str = "default") -> UUID:
    """A job with a webhook that has ended as cancelled."""
    job = submit(engine, ["s3://bucket/a.jpg"], tenant_id=tenant)
    with engine.begin() as connection:
        if connection.execute(*sql.valid_secrets(tenant)).first() is None:
            connection.execute(*sql.insert_secret(tenant, new_seed()))
        connection.execute(*sql.insert_webhook(job, url, events))
        assert stop_job(connection, job, JobReason.CANCELLED_BY_CLIENT)
    return job


def delivery(engine: Engine, job: UUID) -> Any:
    with engine.connect() as connection:
        return connection.execute(select(webhooks).where(webhooks.c.job_id == job)).one()


def log_of(engine: Engine, job: UUID) -> list[Any]:
    with engine.connect() as connection:
        rows = connection.execute(select(webhook_tries).where(webhook_tries.c.job_id == job))
        return sorted(rows, key=lambda row: int(row.number))


def wait_state(engine: Engine, job: UUID, state: WebhookState) -> Any:
    wait_for(lambda: delivery(engine, job).state == state)
    return delivery(engine, job)
