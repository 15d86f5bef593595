"""An item's image made small, with or without its masks, for lists and pages."""

from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Header, Query, Request, Response

from api.auth import CurrentTenant
from api.database import Config, JobId, Reads
from api.http.etags import is_known
from api.http.numbers import INTEGER
from api.http.problems import NOT_FOUND, PROBLEMS, Responses
from api.http.slots import Slots
from api.items.drawable import REFUSED, drawable
from api.items.lookup import ItemId, item_index
from api.items.preview_cache import PreviewCache
from api.items.renderer import CurrentRenderer

router = APIRouter(prefix="/v1/jobs/{job_id:job}", tags=["results"], responses={**PROBLEMS, **NOT_FOUND})

_RESPONSES: Responses = {
    200: {
        "description": "The picture",
        "content": {"image/jpeg": {"schema": {"type": "string", "format": "binary"}}},
    },
    304: {"description": "The picture is the one that `If-None-Match` names"},
    **REFUSED,
}
# A result never changes, and neither does its picture. Another user of the same browser has another key.
_HEADERS = {"Cache-Control": "private, max-age=3600", "Vary": "Authorization"}


async def _cache(request: Request) -> PreviewCache:
    cache: PreviewCache = request.app.state.preview_cache
    return cache


async def _slots(request: Request) -> Slots:
    slots: Slots = request.app.state.preview_slots
    return slots


@router.get("/items/{item_id}/preview.jpg", response_class=Response, responses=_RESPONSES)
async def get_preview(
    tenant: CurrentTenant,
    reads: Reads,
    renderer: CurrentRenderer,
    cache: Annotated[PreviewCache, Depends(_cache)],
    slots: Annotated[Slots, Depends(_slots)],
    config: Config,
    job_id: JobId,
    item_id: ItemId,
    side: Annotated[int, Query(ge=32, le=2048, description="The longer side, in pixels, at most"), INTEGER] = 256,
    masks: Annotated[Literal["true", "false"], Query(description="Whether its masks are drawn over it")] = "true",
    if_none_match: Annotated[str | None, Header()] = None,
) -> Response:
    """Draw an item's image small, with its masks. The image is never enlarged."""
    index = item_index(item_id)
    with slots.taken(tenant):
        origin = await drawable(tenant, reads, config, job_id, index)
        etag = f'"{job_id.hex}.{index}.{side}.{masks}"'
        headers = {**_HEADERS, "ETag": etag}
        if is_known(etag, if_none_match):
            return Response(status_code=304, headers=headers)
        jpeg = cache.get(etag)
        if jpeg is None:
            jpeg = await renderer.jpeg(origin if masks == "true" else origin.without_masks(), side)
            cache.put(etag, jpeg)
    return Response(jpeg, headers=headers, media_type="image/jpeg")
