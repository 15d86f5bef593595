"""The body of POST /v1/jobs, of either media type → what it submits, and its digest for the idempotency key."""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from typing import Final

from fastapi import Request

from api.http.bodies import BodyRoom, has_lines, json_body, line_pieces
from api.jobs.streamed import StreamedSubmission
from api.jobs.submission import DryRun, Rules, Submission, read_submission
from api.refusals import BodyTooSlow
from api.settings import Settings
from api.tenant import Tenant
from intake.json_object import n_values

_MANY_VALUES: Final = 250_000
_STREAM_MEMORY: Final = 8 * 1024 * 1024
"""What reading a body of lines takes: a line, its values, and a piece's items."""


@asynccontextmanager
async def reading(request: Request, tenant: Tenant) -> AsyncIterator[tuple[Submission | DryRun, bytes]]:
    """Raises a Problem. What it gives is valid until the end of the block."""
    settings: Settings = request.app.state.settings
    read = _lines if has_lines(request) else _json
    async with read(request, tenant, settings) as found:
        yield found


@asynccontextmanager
async def _json(
    request: Request, tenant: Tenant, settings: Settings
) -> AsyncIterator[tuple[Submission | DryRun, bytes]]:
    room: BodyRoom = request.app.state.body_room
    async with (
        json_body(request, room, tenant, settings.max_body_bytes, settings.body_seconds) as body,
        _turn(request, body),
    ):
        # In a thread: ten thousand prompted items take half a second, and other requests must not wait for that.
        rules = _rules(settings, tenant, settings.max_items_inline)
        yield await asyncio.to_thread(read_submission, body, rules), hashlib.sha256(body).digest()


def _turn(request: Request, body: bytes) -> asyncio.Semaphore:
    """Parsed bodies take many times their size. So only a few are parsed at a time, and large ones one by one."""
    large: asyncio.Semaphore = request.app.state.large_submits
    submits: asyncio.Semaphore = request.app.state.submits
    return large if n_values(body) > _MANY_VALUES else submits


@asynccontextmanager
async def _lines(
    request: Request, tenant: Tenant, settings: Settings
) -> AsyncIterator[tuple[Submission | DryRun, bytes]]:
    """Nothing is stored before the last line, so a client that goes away leaves nothing."""
    rooms: tuple[BodyRoom, BodyRoom] = (request.app.state.body_room, request.app.state.spool_room)
    streamed = StreamedSubmission(_rules(settings, tenant, settings.max_items_streamed), settings.max_line_bytes)
    memory = min(_STREAM_MEMORY + settings.max_line_bytes, settings.max_body_bytes)
    pieces = line_pieces(request, *rooms, tenant, settings.max_stream_bytes, memory)
    try:
        async with aclosing(pieces):
            try:
                async with asyncio.timeout(settings.stream_seconds):
                    async for piece in pieces:
                        await asyncio.to_thread(streamed.feed, piece)
            except TimeoutError as error:
                raise BodyTooSlow(f"the body did not arrive within {settings.stream_seconds:g} seconds") from error
            yield await asyncio.to_thread(streamed.finish), streamed.digest
    finally:
        streamed.close()


def _rules(settings: Settings, tenant: Tenant, max_items: int) -> Rules:
    places = (tenant.allow_list(settings.buckets), tenant.output_list(settings.output_buckets))
    return Rules(settings.models, max_items, *places, settings.private_targets, settings.https_images)
