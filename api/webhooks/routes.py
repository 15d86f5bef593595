"""Webhooks: the secrets of a tenant, the log of a job's deliveries, and sending again."""

from uuid import UUID

from fastapi import APIRouter, Request
from sqlalchemy import Row
from sqlalchemy.ext.asyncio import AsyncConnection

from api.auth import CurrentTenant
from api.database import Database, JobId, Reads
from api.http.problems import NOT_FOUND, PROBLEMS, Responses, problem_answer
from api.refusals import JobNotFound, WebhookNotEnded, WebhookNotFound
from api.settings import Settings
from api.tenant import Tenant
from api.webhooks.schemas import WebhookDelivery, WebhookSecret, WebhookSecretList, delivery_view
from db.ids import show_job_id
from db.statements import jobs
from db.statements import webhooks as sql
from db.webhook_secret import new_seed, secret_of, show_secret

router = APIRouter(prefix="/v1", tags=["webhooks"], responses=PROBLEMS)

OVERLAP_SECONDS = 24 * 3600
_TRIES_SHOWN = 100
_CONFLICT: Responses = {**NOT_FOUND, 409: problem_answer("The event is being sent, or the job has not ended")}


@router.post("/webhook-secrets", status_code=201)
async def make_webhook_secret(request: Request, tenant: CurrentTenant, database: Database) -> WebhookSecret:
    """Make the secret that webhooks are signed with.

    It is shown here once. Earlier secrets stay valid for 24 hours, and until then each delivery has a signature by each
    of them, so that receivers can change in their own time.
    """
    settings: Settings = request.app.state.settings
    seed = new_seed()
    async with database.begin() as connection:
        await connection.execute(*sql.expire_secrets(tenant.id, overlap_seconds=OVERLAP_SECONDS))
        row = (await connection.execute(*sql.insert_secret(tenant.id, seed))).one()
    shown = show_secret(secret_of(settings.key_pepper.get_secret_value(), seed))
    return WebhookSecret(id=row.id, secret=shown, create_time=row.created_at, expire_time=None)


@router.get("/webhook-secrets")
async def list_webhook_secrets(tenant: CurrentTenant, reads: Reads) -> WebhookSecretList:
    """List the valid secrets, newest first. The secrets themselves are not shown."""
    async with reads.connect() as connection:
        rows = (await connection.execute(*sql.valid_secrets(tenant.id))).all()
    return WebhookSecretList(
        secrets=[
            WebhookSecret(id=row.id, secret=None, create_time=row.created_at, expire_time=row.expires_at)
            for row in rows
        ]
    )


@router.get("/jobs/{job_id:job}/webhook", responses=NOT_FOUND)
async def get_webhook(tenant: CurrentTenant, reads: Reads, job_id: JobId) -> WebhookDelivery:
    """Read the webhook of a job: how far its delivery is, and each try."""
    async with reads.connect() as connection:
        return await _delivery(connection, tenant, job_id)


@router.post("/jobs/{job_id:job}/webhook:redeliver", status_code=202, responses=_CONFLICT)
async def redeliver_webhook(tenant: CurrentTenant, database: Database, job_id: JobId) -> WebhookDelivery:
    """Send the event of a job again, with the same id, whatever its earlier tries came to."""
    async with database.begin() as connection:
        await _webhook(connection, tenant, job_id)
        if (await connection.execute(*sql.redeliver(job_id))).first() is None:
            raise WebhookNotEnded(f"the webhook of {show_job_id(job_id)} is pending: its log says when it is sent")
        return await _delivery(connection, tenant, job_id)


async def _delivery(connection: AsyncConnection, tenant: Tenant, job_id: UUID) -> WebhookDelivery:
    row = await _webhook(connection, tenant, job_id)
    return delivery_view(row, (await connection.execute(*sql.tries(job_id, limit=_TRIES_SHOWN))).all())


async def _webhook(connection: AsyncConnection, tenant: Tenant, job_id: UUID) -> Row[tuple[object, ...]]:
    """Raises JobNotFound and WebhookNotFound."""
    row = (await connection.execute(*sql.webhook(tenant.id, job_id))).first()
    if row is not None:
        return row
    if (await connection.execute(*jobs.job_state(tenant.id, job_id))).first() is None:
        raise JobNotFound(show_job_id(job_id))
    raise WebhookNotFound(f"{show_job_id(job_id)} has no webhook")
