"""The items of a job that failed, as files name them."""

from collections.abc import AsyncGenerator
from typing import Any

from db.statements import export
from db.web_image import shown_image
from exports.pages import Source


async def failed_items(source: Source) -> AsyncGenerator[dict[str, Any], None]:
    """Each failed item with its reason."""
    if source.job.counts["failed"] == 0:  # the statement would read every result to find none
        return
    async for row in source.rows(export.failed_items):
        named = {"item_id": str(row.item_index), "custom_id": row.custom_id, "image": shown_image(row.image)}
        yield {**named, "reason": row.reason, "detail": row.detail}
