"""One line an item that is final, with its masks, then one about the job."""

from collections.abc import AsyncGenerator

import orjson

from api.exports.pages import Source
from api.jobs.views import item_view, mask_views
from db.statements import read


async def jsonl(source: Source) -> AsyncGenerator[bytes, None]:
    """Of a final job that is each item, once."""
    job = source.job
    async for row in source.rows(read.ALL_ITEMS if job.done else read.ITEMS_WITH_RESULT):
        yield orjson.dumps({**item_view(row), "masks": mask_views(row)}) + b"\n"
    about = {"id": job.id, "state": job.state, "done": job.done, "counts": job.counts.model_dump()}
    yield orjson.dumps({"job": about}) + b"\n"
