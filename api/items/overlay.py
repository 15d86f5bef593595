"""An item's image with its masks drawn over it."""

from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response
from starlette.types import Receive, Scope, Send

from api.auth import CurrentTenant
from api.database import Config, JobId, Reads
from api.http.problems import NOT_FOUND, PROBLEMS, Responses, problem_answer
from api.http.sending import taken
from api.http.slots import Slots
from api.items.lookup import ItemId, item_index, one_item
from api.items.origin import Origin
from api.items.renderer import Renderer
from api.refusals import ImageNotAllowed, ImageTooLarge, ItemNotSucceeded
from api.tenant import Tenant
from db.statements.items import item_with_origin
from db.states import ItemState

router = APIRouter(prefix="/v1/jobs/{job_id:job}", tags=["results"], responses={**PROBLEMS, **NOT_FOUND})

_BLOCK_BYTES = 64 * 1024
_RESPONSES: Responses = {
    200: {
        "description": "The picture",
        "content": {"image/png": {"schema": {"type": "string", "format": "binary"}}},
    },
    403: problem_answer("The key lacks the scope of this call, or the image may not be read"),
    404: problem_answer("Unknown, or another tenant's, or the image is not there any more"),
    409: problem_answer("The item has not succeeded, or its image was changed since"),
}


class OverlayResponse(Response):
    """Holds a slot of its tenant until it is sent, because it takes memory for so long."""

    media_type = "image/png"

    def __init__(self, png: bytes, slots: Slots, tenant: Tenant, stall: float) -> None:
        super().__init__(png, headers={"Cache-Control": "private, no-cache"})
        self._slots, self._tenant, self._stall = slots, tenant, stall

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002
        try:
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            for at in range(0, len(self.body), _BLOCK_BYTES):
                block = bytes(self.body[at : at + _BLOCK_BYTES])
                if not await taken(send, block, self._stall, scope.get("state", {})):
                    return
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        finally:
            self._slots.give_back(self._tenant)


async def _renderer(request: Request) -> Renderer:
    renderer: Renderer = request.app.state.renderer
    return renderer


async def _slots(request: Request) -> Slots:
    slots: Slots = request.app.state.overlay_slots
    return slots


@router.get("/items/{item_id}/overlay.png", response_class=Response, responses=_RESPONSES)
async def get_overlay(
    tenant: CurrentTenant,
    reads: Reads,
    renderer: Annotated[Renderer, Depends(_renderer)],
    slots: Annotated[Slots, Depends(_slots)],
    config: Config,
    job_id: JobId,
    item_id: ItemId,
) -> Response:
    """Draw an item's masks over its image, upright and in full size. The API reads the image again for it."""
    index = item_index(item_id)
    slots.take(tenant)
    try:
        async with reads.connect() as connection:
            row = await one_item(connection, tenant, job_id, index, item_with_origin(job_id, index))
        if row.state != ItemState.SUCCEEDED:
            raise ItemNotSucceeded(f"the item is {row.state}")
        most = config.max_overlay_pixels
        if row.height * row.width > most:
            raise ImageTooLarge(
                f"{row.width}×{row.height} is {row.width * row.height} pixels; at most {most} are drawn"
            )
        if why := tenant.allow_list(config.buckets).refusal(row.image):
            raise ImageNotAllowed(why)
        return OverlayResponse(await renderer.png(Origin.of(tenant, row)), slots, tenant, config.export_stall_seconds)
    except BaseException:
        slots.give_back(tenant)
        raise
