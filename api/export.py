"""Results as files, in constant memory: rows come through a server-side cursor, RLE is never decoded on the way."""

from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import orjson
from sqlalchemy import Row, Select, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from api.views import item_view, mask_views
from db.ids import show_job_id
from db.statements import read

_ROWS_AT_A_TIME = 16
_BLOCK_BYTES = 64 * 1024
# A slow reader keeps the snapshot open between two fetches: longer than any other transaction may idle.
_PATIENCE = text("SET LOCAL idle_in_transaction_session_timeout = '10min'")


@dataclass(frozen=True)
class Export:
    """A format: its name on the wire and its bytes, as blocks."""

    media_type: str
    suffix: str
    blocks: Callable[[AsyncEngine, UUID], AsyncGenerator[bytes, None]]


async def _jsonl(engine: AsyncEngine, job_id: UUID) -> AsyncGenerator[bytes, None]:
    async with _snapshot(engine) as connection:
        lines = (
            orjson.dumps({**item_view(row), "masks": mask_views(row)}) + b"\n"
            async for row in _rows(connection, read.final_items(job_id))
        )
        async for block in _blocks(lines):
            yield block


async def _coco(engine: AsyncEngine, job_id: UUID) -> AsyncGenerator[bytes, None]:
    """Images first, then annotations: two passes over one snapshot, the first without any mask."""
    async with _snapshot(engine) as connection:
        async for block in _blocks(_coco_parts(connection, job_id)):
            yield block


async def _coco_parts(connection: AsyncConnection, job_id: UUID) -> AsyncIterator[bytes]:
    info = {"description": f"maskworks {show_job_id(job_id)}", "version": "1.0"}
    yield b'{"info":' + orjson.dumps(info) + b',"licenses":[],"categories":[{"id":1,"name":"object"}],"images":['
    comma = b""
    async for row in _rows(connection, read.segmented_items(job_id, with_masks=False)):
        yield comma + orjson.dumps(_coco_image(row))
        comma = b",\n"
    yield b'],\n"annotations":['
    comma, next_id = b"", 1  # pycocotools takes an annotation 0 for none
    async for row in _rows(connection, read.segmented_items(job_id, with_masks=True)):
        for mask in mask_views(row):
            yield comma + orjson.dumps(_coco_annotation(mask, next_id, row.item_index))
            comma, next_id = b",\n", next_id + 1
    yield b"]}\n"


def _coco_image(row: Row[Any]) -> dict[str, Any]:
    return {
        "id": row.item_index,
        "file_name": row.image.removeprefix("s3://").partition("/")[2],
        "width": row.width,
        "height": row.height,
        "coco_url": row.image,
        "custom_id": row.custom_id,
    }


def _coco_annotation(mask: dict[str, Any], annotation_id: int, image_id: int) -> dict[str, Any]:
    kept = ("segmentation", "bbox", "area", "predicted_iou", "stability_score", "point_coords", "crop_box", "prompt_id")
    common = {"id": annotation_id, "image_id": image_id, "category_id": 1, "iscrowd": 0}
    return {**common, **{name: mask[name] for name in kept}}


@asynccontextmanager
async def _snapshot(engine: AsyncEngine) -> AsyncGenerator[AsyncConnection, None]:
    """A read-only transaction in which every statement sees the same rows."""
    reader = engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
    async with reader.connect() as connection:
        await connection.execute(_PATIENCE)
        yield connection


async def _rows(connection: AsyncConnection, query: Select[Any]) -> AsyncGenerator[Row[Any], None]:
    async with connection.stream(query, execution_options={"yield_per": _ROWS_AT_A_TIME}) as rows:
        async for row in rows:
            yield row


async def _blocks(parts: AsyncIterator[bytes]) -> AsyncGenerator[bytes, None]:
    """Parts joined to blocks that are worth a write each."""
    held: list[bytes] = []
    size = 0
    async for part in parts:
        held.append(part)
        size += len(part)
        if size >= _BLOCK_BYTES:
            yield b"".join(held)
            held, size = [], 0
    if held:
        yield b"".join(held)


FORMATS: dict[str, Export] = {
    "jsonl": Export("application/x-ndjson", "jsonl", _jsonl),
    "coco": Export("application/json", "coco.json", _coco),
}
"""The formats that are built."""
