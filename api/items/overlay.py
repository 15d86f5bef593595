"""An item's image with its masks drawn over it."""

from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response
from starlette.types import Receive, Scope, Send

from api.auth import CurrentTenant
from api.database import Config, JobId, Reads
from api.http.problems import NOT_FOUND, PROBLEMS, Responses
from api.http.sending import taken
from api.http.slots import Slots
from api.items.drawable import REFUSED, drawable
from api.items.lookup import ItemId, item_index
from api.items.renderer import CurrentRenderer
from api.tenant import Tenant

router = APIRouter(prefix="/v1/jobs/{job_id:job}", tags=["results"], responses={**PROBLEMS, **NOT_FOUND})

_BLOCK_BYTES = 64 * 1024
_RESPONSES: Responses = {
    200: {
        "description": "The picture",
        "content": {"image/png": {"schema": {"type": "string", "format": "binary"}}},
    },
    **REFUSED,
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


async def _slots(request: Request) -> Slots:
    slots: Slots = request.app.state.overlay_slots
    return slots


@router.get("/items/{item_id}/overlay.png", response_class=Response, responses=_RESPONSES)
async def get_overlay(
    tenant: CurrentTenant,
    reads: Reads,
    renderer: CurrentRenderer,
    slots: Annotated[Slots, Depends(_slots)],
    config: Config,
    job_id: JobId,
    item_id: ItemId,
) -> Response:
    """Draw an item's masks over its image, upright and in full size. The API reads the image again for it."""
    index = item_index(item_id)
    slots.take(tenant)
    try:
        origin = await drawable(tenant, reads, config, job_id, index)
        return OverlayResponse(await renderer.png(origin), slots, tenant, config.export_stall_seconds)
    except BaseException:
        slots.give_back(tenant)
        raise
