"""JSON lines: one for each final item with its masks, then one about the job."""

from collections.abc import AsyncGenerator

import orjson

from db.statements import export
from exports.format import Format
from exports.pages import Source
from exports.views import item_view, mask_views

ABOUT = """One line for each final item: the item with its `masks`. The last line describes the job, as
`{"job": …}`: its `id`, `state`, `done` and `counts`. If that line is missing, the file was cut off."""


async def jsonl(source: Source) -> AsyncGenerator[bytes, None]:
    """Of a job that is done, every item has a line."""
    async for row in source.rows(export.all_items if source.job.done else export.items_with_result):
        yield orjson.dumps({**item_view(row), "masks": mask_views(row)}) + b"\n"
    yield orjson.dumps({"job": source.about()}) + b"\n"


FORMAT = Format("application/x-ndjson", "jsonl", ABOUT, jsonl)
