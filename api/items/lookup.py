"""An item of a job, by the ids of a path."""

from typing import Annotated, Any
from uuid import UUID

from fastapi import Path
from sqlalchemy import Row
from sqlalchemy.ext.asyncio import AsyncConnection

from api.refusals import ItemNotFound, JobNotFound
from api.tenant import Tenant
from db.ids import show_job_id
from db.statements.bound import Bound
from db.statements.jobs import job_state

ItemId = Annotated[str, Path(description="The item's index", json_schema_extra={"pattern": "^(0|[1-9][0-9]{0,9})$"})]


def item_index(item_id: str) -> int:
    """Raises ItemNotFound."""
    if not (item_id.isascii() and item_id.isdigit() and len(item_id) < 11 and int(item_id) < 2**31):
        raise ItemNotFound(f"{item_id!r} is not the index of an item")
    return int(item_id)


async def check_job(connection: AsyncConnection, tenant: Tenant, job_id: UUID) -> None:
    """Raises JobNotFound."""
    if (await connection.execute(*job_state(tenant.id, job_id))).first() is None:
        raise JobNotFound(show_job_id(job_id))


async def one_item(connection: AsyncConnection, tenant: Tenant, job_id: UUID, index: int, query: Bound) -> Row[Any]:
    """The row of a query for this item. Raises JobNotFound or ItemNotFound."""
    await check_job(connection, tenant, job_id)
    row: Row[Any] | None = (await connection.execute(*query)).first()
    if row is None:
        raise ItemNotFound(f"the job has no item with index {index}")
    return row
