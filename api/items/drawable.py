"""An item that can be drawn: it has succeeded, its image is small enough, and the tenant may read that image."""

from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncEngine

from api.http.problems import Responses, problem_answer
from api.items.lookup import one_item
from api.items.origin import Origin
from api.refusals import ImageNotAllowed, ImageTooLarge, ItemNotSucceeded
from api.settings import Settings
from api.tenant import Tenant
from db.statements.items import item_with_origin
from db.states import ItemState

REFUSED: Responses = {
    403: problem_answer("The key lacks the scope of this call, or the image may not be read"),
    404: problem_answer("Unknown, or another tenant's, or the image is not there any more"),
    409: problem_answer("The item has not succeeded, or its image was changed since"),
}


async def drawable(tenant: Tenant, reads: AsyncEngine, settings: Settings, job_id: UUID, index: int) -> Origin:
    """What its picture is made from. Raises a Problem."""
    async with reads.connect() as connection:
        row = await one_item(connection, tenant, job_id, index, item_with_origin(job_id, index))
    if row.state != ItemState.SUCCEEDED:
        raise ItemNotSucceeded(f"the item is {row.state}")
    most = settings.max_overlay_pixels
    if row.height * row.width > most:
        raise ImageTooLarge(f"{row.width}×{row.height} is {row.width * row.height} pixels; at most {most} are drawn")
    if why := tenant.allow_list(settings.buckets).refusal(row.image):
        raise ImageNotAllowed(why)
    return Origin.of(tenant, row)
