# Made from maskworks/aio/results.py by `python -m tools.documents`. Change that file.
"""The results of a job, read line by line, across answers and broken connections."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, TypeVar

import msgspec

from maskworks.errors import ConnectionFailed
from maskworks.records import Item
from maskworks.sync.runtime import sleep
from maskworks.sync.transport import Call, Transport

_ITEMS = 1000  # of one answer: what is asked for again after a connection that broke
_TRIES = 6
Line = TypeVar("Line", bound=Item)


def read_results(transport: Transport, call: Call, format: str, of: type[Line]) -> Iterator[Line]:
    """Each result once, by index: `of` is its record. Raises APIError, and ConnectionFailed after some tries."""
    last, failures = -1, 0
    params: dict[str, Any] = {"format": format, "page_size": _ITEMS}
    while True:
        try:
            complete = False
            with transport.open(replace(call, params=params)) as answer:
                token = answer.headers.get("X-Next-Page-Token")
                for line in answer.iter_lines():
                    if line.startswith('{"job":'):
                        complete = True
                    elif line and (result := msgspec.json.decode(line, type=of)).index > last:
                        last, failures = result.index, 0
                        yield result
            if not complete:
                raise ConnectionFailed(f"the answer to {call.path} ended before its last line")
            if token is None:
                return
            params["page_token"] = token
        except ConnectionFailed:
            failures += 1
            if failures == _TRIES:
                raise
            sleep(2.0**failures / 4)
