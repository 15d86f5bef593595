"""A JSON array, written entry by entry."""

from collections.abc import AsyncGenerator
from typing import Any

import orjson


async def array(entries: AsyncGenerator[dict[str, Any], None]) -> AsyncGenerator[bytes, None]:
    """The entries with commas and line ends between them, without the brackets. numpy arrays become lists."""
    comma = b""
    async for entry in entries:
        yield comma + orjson.dumps(entry, option=orjson.OPT_SERIALIZE_NUMPY)
        comma = b",\n"
