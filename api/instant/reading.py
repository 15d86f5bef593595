"""The body of a call for one image, of either media type → the call for a worker, and the uploaded image."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, Final, TypeVar

import orjson
from fastapi import Request
from pydantic import TypeAdapter, ValidationError

from api.http.bodies import body_into, media_type
from api.http.json_body import parse_object
from api.instant.form import MEDIA_TYPE, Form
from api.instant.schemas import EmbeddingRequest, SegmentRequest
from api.jobs.schemas import PromptedTask
from api.jobs.submission import Findings, Rules, add_all, check_image
from api.refusals import BodyTooLarge, UnknownModel, UnsupportedMediaType
from api.settings import Settings
from api.tenant import Tenant
from db.states import Depth
from intake.calls import Call
from intake.item import ItemRow, prompt_faults
from intake.json_object import n_values

_MAX_VALUES: Final = 250_000
"""JSON values. More take more time to check than a call has."""
_Asked = TypeVar("_Asked", bound=EmbeddingRequest)


@asynccontextmanager
async def reading(request: Request, tenant: Tenant, kind: type[EmbeddingRequest]) -> AsyncIterator[tuple[Call, bytes]]:
    """The call and the uploaded image, empty where the call names one. Raises a Problem."""
    settings: Settings = request.app.state.settings
    take, finish = _reader(request)
    limits = (settings.max_upload_bytes, settings.body_seconds)
    async with body_into(take, request, request.app.state.body_room, tenant, *limits):
        text, image = finish()
        # In a thread: thousands of points take a while, and other requests must not wait for that.
        yield await asyncio.to_thread(_call, text, bool(image), kind, tenant, settings), image


def _reader(request: Request) -> tuple[Callable[[bytes], object], Callable[[], tuple[bytes, bytes]]]:
    """What takes the body's pieces, and what then gives its JSON and its image."""
    found = media_type(request)
    if found == MEDIA_TYPE:
        form = Form(request.headers["content-type"])
        return form.feed, form.finish
    if found != "application/json":
        raise UnsupportedMediaType(
            f"the Content-Type is {found or 'missing'}: send application/json, or an image as {MEDIA_TYPE}"
        )
    content = bytearray()
    return content.extend, lambda: (bytes(content), b"")


def _call(text: bytes, uploaded: bool, kind: type[EmbeddingRequest], tenant: Tenant, settings: Settings) -> Call:
    if n_values(text) > _MAX_VALUES:
        raise BodyTooLarge(f"the request has more than {_MAX_VALUES} JSON values: submit a job")
    raw = parse_object(text)
    found = Findings()
    try:
        asked = TypeAdapter(kind).validate_json(orjson.dumps(raw), strict=True)
    except ValidationError as error:
        add_all(error, found)
        raise found.refusal() from None
    _check(asked, uploaded, _rules(tenant, settings), found)
    if found.errors:
        raise found.refusal()
    return Call(
        model=asked.model or settings.default_model,
        seconds=settings.call_seconds,
        precision=asked.precision,
        task=_task(raw),
        image=asked.image,
        depth=asked.depth or Depth.AUTO,
        bands=asked.bands,
        places=tenant.places,
    )


def _rules(tenant: Tenant, settings: Settings) -> Rules:
    return Rules(settings.models, 1, tenant.allow_list(settings.buckets), https_images=settings.https_images)


def _task(raw: dict[str, Any]) -> dict[str, Any] | None:
    """As `model.spec.TASK` reads it. The worker adds the defaults. None where only the embedding is asked for."""
    if "task" not in raw:
        return None
    task: dict[str, Any] = raw["task"]
    return task if raw.get("prompts") is None else task | {"prompts": raw["prompts"]}


def _check(asked: EmbeddingRequest, uploaded: bool, rules: Rules, found: Findings) -> None:
    """What a worker would refuse, and what this installation does not serve."""
    if asked.model is not None and asked.model not in rules.models:
        detail = f"unknown model; served here: {', '.join(rules.models)} (MASKWORKS_MODELS sets them)"
        found.add("/model", detail, kind=UnknownModel)
    if asked.image is None and not uploaded:
        found.add("/image", "is missing: name an object in S3, or upload the image as multipart/form-data")
    elif asked.image is not None and uploaded:
        found.add("/image", "must be absent where an image is uploaded")
    elif asked.image is not None:
        check_image("", ItemRow(0, "", asked.image, None), rules, found)
    if isinstance(asked, SegmentRequest):
        _check_prompts(asked, found)


def _check_prompts(asked: SegmentRequest, found: Findings) -> None:
    if not isinstance(asked.task, PromptedTask):
        if asked.prompts is not None:
            found.add("/prompts", "an automatic task takes no prompts")
    elif not asked.prompts:
        found.add("/prompts", "a prompted task needs at least one prompt")
    else:
        for fault in prompt_faults(asked.prompts, asked.task.box_format):
            found.add(fault.pointer, fault.detail)
