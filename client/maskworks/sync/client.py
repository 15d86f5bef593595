# Made from maskworks/aio/client.py by `python -m tools.documents`. Change that file.
"""The client: a server, a key, and what can be asked of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import msgspec
from msgspec import Struct

from maskworks.config import Config
from maskworks.records import Model, Segmented
from maskworks.submission import Task, encoded, segment_request, upload_of
from maskworks.sync.jobs import Jobs
from maskworks.sync.runtime import in_thread
from maskworks.sync.transport import Call, Transport


class _Models(Struct, frozen=True):
    models: list[Model]


class Client:
    """A client of one server. Use it as a context manager, or close it.

    Without arguments it reads MASKWORKS_URL and MASKWORKS_API_KEY, ~/.config/maskworks/config.toml, or finds the
    local stack. `uploads` is the place in S3 for local files. Failed calls are tried up to `retries` times again.
    """

    def __init__(
        self,
        url: str | None = None,
        api_key: str | None = None,
        *,
        uploads: str | None = None,
        retries: int = 8,
        timeout: float = 60.0,
        config: Config | None = None,
    ) -> None:
        """Raises ConfigError."""
        self.config = config or Config.find(url, api_key, uploads)
        self._transport = Transport(self.config, retries, timeout)
        self.jobs = Jobs(self._transport, self.config)

    def close(self) -> None:
        self._transport.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def ready(self) -> None:
        """Raises ServerError while the server cannot serve, and ConnectionFailed while nothing answers."""
        self._transport.send(Call("GET", "/readyz"))

    def models(self) -> list[Model]:
        """The models that jobs may name."""
        return (self._transport.read(Call("GET", "/v1/models"), _Models)).models

    def segment(
        self,
        image: str | Path | bytes,
        *,
        points: Sequence[Sequence[float]] | None = None,
        labels: Sequence[int] | None = None,
        box: Sequence[float] | None = None,
        multimask: bool | None = None,
        prompts: Sequence[Mapping[str, Any]] | None = None,
        task: Task | None = None,
        model: str | None = None,
        precision: str | None = None,
    ) -> Segmented:
        """Segment one image in this call: a URI, a local file, or the bytes of one.

        `points` (all of them foreground without `labels`) and a `box` make one prompt. `prompts` gives several.
        Without either, everything is segmented.
        """
        one = {"points": points, "labels": labels, "box": box, "multimask": multimask}
        request = segment_request(one, prompts, task, {"model": model, "precision": precision})
        if isinstance(image, str) and "://" in image:
            call = Call("POST", "/v1/segment", json={"image": image, **request})
        else:
            upload = in_thread(lambda: upload_of(image))
            files = {"image": upload, "request": (None, encoded(request), "application/json")}
            call = Call("POST", "/v1/segment", files=files)
        return msgspec.json.decode((self._transport.send(call)).content, type=Segmented)
