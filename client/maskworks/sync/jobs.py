# Made from maskworks/aio/jobs.py by `python -m tools.documents`. Change that file.
"""The jobs of a tenant: submit, read, list."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Unpack

from msgspec import Struct

from maskworks.config import Config
from maskworks.records import JobRecord, Validation
from maskworks.submission import Body, Image, Input, JobFields, Task, body_of
from maskworks.sync.job import Job
from maskworks.sync.runtime import in_thread
from maskworks.sync.transport import Call, Transport

_STREAMED_SECONDS = 600.0


class _Page(Struct, frozen=True):
    jobs: list[JobRecord]
    next_page_token: str | None = None


class Jobs:
    """`client.jobs`."""

    def __init__(self, transport: Transport, config: Config) -> None:
        self._transport, self._config = transport, config

    def submit(
        self,
        *,
        prefix: str | None = None,
        glob: str | None = None,
        manifest: str | None = None,
        items: Iterable[Mapping[str, Any]] | None = None,
        images: Iterable[Image] | None = None,
        prompts: Sequence[Mapping[str, Any]] | None = None,
        depth: str | None = None,
        bands: Sequence[int] | None = None,
        task: Task | None = None,
        idempotency_key: str | None = None,
        on_upload: Callable[[int], object] | None = None,
        **fields: Unpack[JobFields],
    ) -> Job:
        """Submit a job over one of `prefix`, `manifest`, `items` and `images`.

        `images` may be local files and folders, and so may the `image` of an item: they are uploaded to S3 first.
        Without a `task`, a job with prompts is prompted, and any other finds everything. A submit that is repeated
        after a fault makes one job. To repeat one across processes, give the same `idempotency_key`.
        """
        given = Input(prefix, glob, manifest, items, images, prompts, depth, bands)
        given.check()
        body = in_thread(lambda: self._body(given, task, fields, on_upload))
        headers = {"Idempotency-Key": idempotency_key or uuid.uuid4().hex}
        try:
            call = Call("POST", "/v1/jobs", headers=headers, body=body, seconds=_STREAMED_SECONDS)
            return Job(self._transport, self._transport.read(call, JobRecord))
        finally:
            body.close()

    def validate(self, body: Mapping[str, Any]) -> Validation:
        """Check the body of a submit, as the REST guide describes it. Nothing is stored."""
        call = Call("POST", "/v1/jobs", json={**body, "validate_only": True}, seconds=_STREAMED_SECONDS)
        return self._transport.read(call, Validation)

    def get(self, job_id: str) -> Job:
        """Raises NotFound."""
        return Job(self._transport, self._transport.read(Call("GET", f"/v1/jobs/{job_id}"), JobRecord))

    def list(
        self, *, state: str | None = None, labels: Mapping[str, str] | None = None, page_size: int = 50
    ) -> Iterator[Job]:
        """Jobs, newest first; further pages are read as they are needed."""
        params: dict[str, Any] = {"page_size": page_size, **{f"label.{k}": v for k, v in (labels or {}).items()}}
        if state is not None:
            params["state"] = state
        while True:
            page = self._transport.read(Call("GET", "/v1/jobs", params), _Page)
            for record in page.jobs:
                yield Job(self._transport, record)
            if page.next_page_token is None:
                return
            params["page_token"] = page.next_page_token

    def _body(
        self, given: Input, task: Task | None, fields: Mapping[str, Any], on_upload: Callable[[int], object] | None
    ) -> Body:
        """Reads and uploads files, so it runs in a thread."""
        from maskworks.uploads import expanded, in_s3

        items = given.all_items()
        placed = None if items is None else in_s3(expanded(items), self._config, on_upload)
        return body_of(given, task, fields, placed)
