# Made from maskworks/aio/job.py by `python -m tools.documents`. Change that file.
"""One job: follow it, read its results, stop it, run it again."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from maskworks.errors import (
    ConnectionFailed,
    JobUnsuccessful,
    NotFound,
    ServerError,
    TooManyRequests,
    WaitTimeout,
)
from maskworks.exports import SUFFIX, default_path
from maskworks.masks import Mask
from maskworks.progress import shown
from maskworks.records import Counts, Event, Item, JobRecord, Progress, Result, TiledResult
from maskworks.sse import EventReader
from maskworks.sync.download import download, download_pages
from maskworks.sync.results import read_results
from maskworks.sync.runtime import sleep
from maskworks.sync.transport import Call, Transport
from maskworks.tables import frame
from maskworks.webhooks import WebhookDelivery
from maskworks.yolo import YoloFolder

_POLL_SECONDS = 30.0
_LEAST_SECONDS = 0.5  # between two polls for progress
_OUTAGE_SECONDS = 300.0
_HEARTBEAT_SECONDS = 30.0


class _Items(Struct, frozen=True):
    items: list[Item]
    next_page_token: str | None = None


class _Masks(Struct, frozen=True):
    masks: list[Mask]
    next_page_token: str | None = None


class Job:
    """A job. `record` is what the server last said of it; `refresh` asks again."""

    def __init__(self, transport: Transport, record: JobRecord) -> None:
        self._transport = transport
        self.record = record

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.id} {self.state} {self.progress.fraction:.0%}>"

    @property
    def id(self) -> str:
        return self.record.id

    @property
    def state(self) -> str:
        """`ingesting`, `pending`, `running`, and in the end `succeeded`, `partially_succeeded`, `failed`,
        `cancelled` or `expired`."""
        return self.record.state

    @property
    def done(self) -> bool:
        return self.record.done

    @property
    def counts(self) -> Counts:
        return self.record.counts

    @property
    def progress(self) -> Progress:
        return self.record.progress

    def refresh(self) -> Job:
        """Read the job again."""
        self.record = self._transport.read(self._call("GET"), JobRecord)
        return self

    def wait(
        self,
        timeout: float | None = None,
        *,
        progress: bool = False,
        on_change: Callable[[JobRecord], None] | None = None,
        check: bool = False,
    ) -> Job:
        """Wait until the job is done. It goes on where the wait ends early.

        `progress` shows a bar on stderr. `on_change` is called with each change. `check` raises JobUnsuccessful
        unless every item succeeded. Outages of the server of up to five minutes are waited out. Raises WaitTimeout
        after `timeout` seconds.
        """
        until = None if timeout is None else time.monotonic() + timeout
        with shown(progress) as show:
            while True:
                for told in (show, on_change or show):
                    told(self.record)
                if self.done:
                    break
                left = _POLL_SECONDS if until is None else min(_POLL_SECONDS, until - time.monotonic())
                if left <= 0:
                    raise WaitTimeout(f"{self.id} is {self.state} after {timeout:g} seconds; it goes on")
                self._poll(left, each_change=progress or on_change is not None)
        return self.check() if check else self

    def _poll(self, seconds: float, each_change: bool) -> None:
        """One answer about the job: at its end, and at each change where that is asked for."""
        began = time.monotonic()
        while True:
            try:
                self._ask(seconds, each_change)
                break
            except (ConnectionFailed, ServerError, TooManyRequests):
                if time.monotonic() - began > _OUTAGE_SECONDS:
                    raise
        if each_change and not self.done:
            sleep(max(0.0, _LEAST_SECONDS - (time.monotonic() - began)))

    def _ask(self, seconds: float, each_change: bool) -> None:
        headers = {"If-None-Match": self._etag} if each_change and self._etag else {}
        call = self._call("GET", params={"wait": round(seconds, 1)}, headers=headers, seconds=seconds)
        answer = self._transport.send(call)
        if answer.status_code == 200:
            self._etag = answer.headers.get("ETag")
            self.record = msgspec.json.decode(answer.content, type=JobRecord)

    _etag: str | None = None

    def check(self) -> Job:
        """Raises JobUnsuccessful unless the job has ended and every item succeeded."""
        if self.state == "succeeded":
            return self
        reasons = ", ".join(f"{each.count} {each.reason}" for each in self.record.failures)
        error = self.record.error
        detail = str(error) if error else reasons or f"{self.counts.succeeded} succeeded"
        raise JobUnsuccessful(self.id, self.state, detail)

    def events(self) -> Iterator[Event]:
        """Changes of the job as they come, at most one a second, the last one of type `done`.

        A connection that breaks is made again, and no change comes twice.
        """
        reader, began = EventReader(), time.monotonic()
        while True:
            try:
                for event in self._connected(reader):
                    began = time.monotonic()
                    self.record = event.job
                    yield event
                    if event.type == "done":
                        return
            except ConnectionFailed:
                if time.monotonic() - began > _OUTAGE_SECONDS:
                    raise
            sleep(reader.retry_seconds)

    def _connected(self, reader: EventReader) -> Iterator[Event]:
        reader.connected()
        headers = {"Accept": "text/event-stream", **({"Last-Event-ID": reader.last_id} if reader.last_id else {})}
        with self._transport.open(self._call("GET", "/events", headers=headers)) as answer:
            for line in answer.iter_lines():
                event = reader.feed(line)
                if event is not None and event.type in ("progress", "done"):
                    yield Event(event.id, event.type, msgspec.json.decode(event.data, type=JobRecord))

    def items(self, state: str | None = None, page_size: int = 1000) -> Iterator[Item]:
        """The items by index; further pages are read as they are needed."""
        params: dict[str, Any] = {"page_size": page_size, **({"state": state} if state else {})}
        while True:
            page = self._transport.read(self._call("GET", "/items", params=params), _Items)
            for item in page.items:
                yield item
            if page.next_page_token is None:
                return
            params["page_token"] = page.next_page_token

    def item(self, item_id: str | int) -> Item:
        """Raises NotFound."""
        return self._transport.read(self._call("GET", f"/items/{item_id}"), Item)

    def masks(self, item_id: str | int) -> Iterator[Mask]:
        """The masks of one item. There are none until it has succeeded."""
        params: dict[str, Any] = {}
        while True:
            page = self._transport.read(self._call("GET", f"/items/{item_id}/masks", params=params), _Masks)
            for mask in page.masks:
                yield mask
            if page.next_page_token is None:
                return
            params["page_token"] = page.next_page_token

    def overlay(self, item_id: str | int) -> bytes:
        """A PNG of an item's image with its masks drawn over it, upright and in full size. The server draws it.

        Raises Conflict unless the item has succeeded.
        """
        return (self._transport.send(self._call("GET", f"/items/{item_id}/overlay.png"))).content

    def preview(self, item_id: str | int, *, side: int = 256, masks: bool = True) -> bytes:
        """A JPEG of an item's image made small, with or without its masks: `side` pixels at most on a side.

        Raises Conflict unless the item has succeeded.
        """
        params = {"side": side, "masks": "true" if masks else "false"}
        return (self._transport.send(self._call("GET", f"/items/{item_id}/preview.jpg", params=params))).content

    def results(self) -> Iterator[Result]:
        """The final items with their masks, by index, in constant memory.

        After a connection that broke, it goes on behind the last result.
        """
        for result in read_results(self._transport, self._call("GET", "/results"), "jsonl", Result):
            yield result

    def tiled_results(self) -> Iterator[TiledResult]:
        """The same with masks cut into tiles of their image, for images that are too large for arrays."""
        for result in read_results(self._transport, self._call("GET", "/results"), "tiles", TiledResult):
            yield result

    def export(self, format: str, path: str | Path | None = None, *, page_size: int | None = None) -> Path:
        """Write all results into a file, in a format of the server, or as `yolo` into a folder.

        A file has its name only once it is complete. With `page_size` it is a folder of files of at most so many items
        each, and an export that was interrupted goes on where it ended.
        """
        target = Path(path) if path is not None else default_path(self.id, format)
        if format == "yolo":
            folder = YoloFolder(target)
            for result in self.results():
                folder.add(result)
            folder.finish()
            return target
        call = self._call("GET", "/results", params={"format": format})
        if page_size is None:
            download(self._transport, call, target)
        else:
            download_pages(self._transport, call, target, SUFFIX.get(format, format), page_size)
        return target

    def to_pandas(self) -> Any:
        """A pandas DataFrame with a row for each mask. Needs the extra `pandas`."""
        return frame([result for result in self.results()])

    def cancel(self) -> Job:
        """End the job now. Finished items keep their results."""
        self.record = self._transport.read(self._call("POST", ":cancel"), JobRecord)
        return self

    def retry(
        self, *, items: Sequence[str] | None = None, include: Sequence[str] = (), idempotency_key: str | None = None
    ) -> Job:
        """A new job of the failed items, or of those named. `include` adds `cancelled` and `expired` ones."""
        body: dict[str, Any] = {} if items is None else {"items": list(items)}
        if include:
            body["include"] = list(include)
        headers = {"Idempotency-Key": idempotency_key or uuid.uuid4().hex}
        call = self._call("POST", ":retry", headers=headers, json=body or None)
        return type(self)(self._transport, self._transport.read(call, JobRecord))

    def webhook(self) -> WebhookDelivery:
        """How far the delivery of the job's webhook is, and its last tries. Raises NotFound where it has none."""
        return self._transport.read(self._call("GET", "/webhook"), WebhookDelivery)

    def redeliver_webhook(self) -> WebhookDelivery:
        """Send the event of a job that is done again, with the same id. Raises Conflict while it is being sent."""
        return self._transport.read(self._call("POST", "/webhook:redeliver"), WebhookDelivery)

    def delete(self) -> None:
        """Delete the job and its results. It must be done. Raises Conflict."""
        with suppress(NotFound):  # the first try may have deleted it, and its answer got lost
            self._transport.send(self._call("DELETE"))

    def _call(self, method: str, below: str = "", **more: Any) -> Call:
        return Call(method, f"/v1/jobs/{self.id}{below}", **more)
