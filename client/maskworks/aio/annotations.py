"""Annotations: store, list, export, delete."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from msgspec import Struct

from maskworks.aio.download import download
from maskworks.aio.transport import Call, Transport
from maskworks.errors import NotFound
from maskworks.records import Annotation

_MOST = 1000


class _Page(Struct, frozen=True):
    annotations: list[Annotation]
    next_page_token: str | None = None


class _Stored(Struct, frozen=True):
    ids: list[str]


class _Deleted(Struct, frozen=True):
    deleted: int
    more: bool


class AsyncAnnotations:
    """`client.annotations`."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    async def store(self, annotations: Sequence[Mapping[str, Any]]) -> Sequence[str]:
        """Store annotations, a thousand in a call. Returns their ids.

        Each gets an id here, so that a call that is tried again stores nothing twice.
        """
        named = [{"id": uuid.uuid4().hex, **one} for one in annotations]
        ids: list[str] = []
        for start in range(0, len(named), _MOST):
            call = Call("POST", "/v1/annotations", json={"annotations": named[start : start + _MOST]})
            ids += (await self._transport.read(call, _Stored)).ids
        return ids

    async def list(
        self,
        *,
        state: str | None = None,
        stage: str | None = None,
        image_prefix: str | None = None,
        page_size: int = 200,
    ) -> AsyncIterator[Annotation]:
        """Annotations by id; further pages are read as they are needed."""
        params = _given(state=state, stage=stage, image_prefix=image_prefix, page_size=page_size)
        while True:
            page = await self._transport.read(Call("GET", "/v1/annotations", params), _Page)
            for one in page.annotations:
                yield one
            if page.next_page_token is None:
                return
            params["page_token"] = page.next_page_token

    async def export(
        self,
        format: str,
        path: str | Path,
        *,
        state: str | None = None,
        stage: str | None = None,
        image_prefix: str | None = None,
    ) -> Path:
        """Write `jsonl`, `coco` or `sa1b` to a file, which has its name only once it is complete."""
        params = _given(format=format, state=state, stage=stage, image_prefix=image_prefix)
        await download(self._transport, Call("GET", "/v1/annotations/export", params), Path(path))
        return Path(path)

    async def delete(self, id: str) -> None:
        """Delete one."""
        with suppress(NotFound):  # the first try may have deleted it, and its answer got lost
            await self._transport.send(Call("DELETE", f"/v1/annotations/{id}"))

    async def delete_many(
        self,
        *,
        state: str | None = None,
        stage: str | None = None,
        image_prefix: str | None = None,
        all: bool = False,
    ) -> int:
        """Delete those that the filters choose, or every one with `all`. Returns how many.

        A call deletes a few thousand, so there are several. Answers that were lost are not counted.
        """
        params = _given(state=state, stage=stage, image_prefix=image_prefix, all="true" if all else None)
        deleted, more = 0, True
        while more:
            answer = await self._transport.read(Call("DELETE", "/v1/annotations", params), _Deleted)
            deleted, more = deleted + answer.deleted, answer.more
        return deleted


def _given(**params: Any) -> dict[str, Any]:
    return {name: value for name, value in params.items() if value is not None}
