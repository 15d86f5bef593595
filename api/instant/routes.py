"""One image now: its masks or its embedding, answered in the same call, ahead of jobs."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any

from fastapi import APIRouter, Header, Request, Response
from sqlalchemy.ext.asyncio import AsyncEngine

from api.auth import CurrentTenant
from api.http.etags import named_etags
from api.http.slots import Slots
from api.instant import openapi
from api.instant.queue import CallQueue
from api.instant.reading import reading
from api.instant.schemas import EmbeddingRequest, Segmented, SegmentRequest
from api.items.earlier_masks import EarlierMasks
from api.tenant import Tenant
from intake.calls import Reply

router = APIRouter(prefix="/v1", tags=["one image"], responses=openapi.RESPONSES)


@router.post("/segment", response_model=Segmented, openapi_extra=openapi.SEGMENT_BODY)
async def segment(request: Request, tenant: CurrentTenant) -> Response:
    """Segment one image now.

    The image is an object in S3, or it is uploaded as `multipart/form-data`: the part `image`, and the part `request`
    with the JSON. The masks are those that a job gives. Nothing is stored.
    """
    async with _answered(request, tenant, SegmentRequest) as (_, masks):
        return Response(masks, media_type="application/json")


@router.post(
    "/embeddings",
    responses=openapi.EMBEDDING_RESPONSES,
    openapi_extra=openapi.EMBEDDING_BODY,
    response_class=Response,
)
async def embed(
    request: Request, tenant: CurrentTenant, if_none_match: Annotated[str | None, Header()] = None
) -> Response:
    """Embed one image now.

    The octets are float16, little-endian, of the shape in `X-Embedding-Shape`. The body is as of `/v1/segment`, without
    a task. With `If-None-Match` an embedding that the caller has is neither computed nor sent: 304.
    """
    async with _answered(request, tenant, EmbeddingRequest, _etags(if_none_match)) as (reply, octets):
        headers = {"ETag": reply.etag or "", "Cache-Control": "no-cache"}
        if reply.unchanged:
            return Response(status_code=304, headers=headers)
        headers |= {"X-Embedding-Shape": _listed(reply.shape), "X-Image-Size": _listed(reply.size)}
        return Response(octets, media_type="application/octet-stream", headers=headers)


@asynccontextmanager
async def _answered(
    request: Request, tenant: Tenant, kind: type[EmbeddingRequest], etags: tuple[str, ...] = ()
) -> AsyncIterator[tuple[Reply, bytes]]:
    """The worker's answer. The body's bytes and the tenant's slot count until the end of the block."""
    slots: Slots = request.app.state.call_slots
    queue: CallQueue = request.app.state.calls
    with slots.taken(tenant):
        async with reading(request, tenant, kind) as (call, image):
            asked = call.model_copy(update={"etags": etags, "task": await _with_masks(request, tenant, call.task)})
            yield await queue.answer(asked, image, request.is_disconnected)


async def _with_masks(request: Request, tenant: Tenant, task: dict[str, Any] | None) -> dict[str, Any] | None:
    """The task with the earlier masks that its prompts name. Raises MaskNotFound."""
    if not any("mask_from" in prompt for prompt in (task or {}).get("prompts", ())):
        return task
    assert task is not None
    reads: AsyncEngine = request.app.state.reads
    async with reads.connect() as connection:
        return task | {"prompts": await EarlierMasks(connection, tenant).fill(task["prompts"], "/prompts")}


def _etags(if_none_match: str | None) -> tuple[str, ...]:
    """`*` is left out: whatever the caller has may be of another image."""
    return tuple(tag for tag in named_etags(if_none_match) if tag != "*")


def _listed(numbers: tuple[int, ...] | None) -> str:
    return ",".join(map(str, numbers or ()))
