# Made from maskworks/aio/client.py by `python -m tools.documents`. Change that file.
"""The client: a server, a key, and what can be asked of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

from msgspec import Struct

from maskworks.config import Config
from maskworks.embedding import Embedding, embedding_of
from maskworks.records import Model, Segmented, Uploaded, Uploads
from maskworks.submission import Task, encoded, segment_request, upload_body, upload_of
from maskworks.sync.annotations import Annotations
from maskworks.sync.jobs import Jobs
from maskworks.sync.runtime import in_thread
from maskworks.sync.transport import Call, Transport
from maskworks.sync.webhook_secrets import WebhookSecrets


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
        on_retry: Callable[[str, float], object] | None = None,
        config: Config | None = None,
    ) -> None:
        """`on_retry` is told why a call is tried again, and after how many seconds. Raises ConfigError."""
        self.config = config or Config.find(url, api_key, uploads)
        self._transport = Transport(self.config, retries, timeout, on_retry)
        self.jobs = Jobs(self._transport, self.config)
        self.annotations = Annotations(self._transport)
        self.webhook_secrets = WebhookSecrets(self._transport)

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

    def decoder(self, model: str, revision: str) -> bytes:
        """A model's mask decoder, an ONNX file, for embeddings that weights of this revision made.

        Raises NotFound where there is none; `models` lists those that are there.
        """
        path = f"/v1/models/{quote(model, safe='')}/decoders/{quote(revision, safe='')}"
        return (self._transport.send(Call("GET", path))).content

    def uploads(self) -> Uploads:
        """Whether the server takes images, where yours go, and how large they may be."""
        return self._transport.read(Call("GET", "/v1/uploads"), Uploads)

    def upload(self, file: str | Path, *, name: str | None = None) -> Uploaded:
        """Upload an image through the server, which needs no credentials for S3. The same file again is one object."""
        body = in_thread(lambda: upload_body(file))
        try:
            call = Call("PUT", f"/v1/uploads/{quote(name or Path(file).name, safe='')}", body=body)
            return self._transport.read(call, Uploaded)
        finally:
            body.close()

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
        depth: str | None = None,
        bands: Sequence[int] | None = None,
    ) -> Segmented:
        """Segment one image in this call: a URI, a local file, or the bytes of one.

        `points` (all of them foreground without `labels`) and a `box` make one prompt. `prompts` gives several.
        Without either, everything is segmented.
        """
        one = {"points": points, "labels": labels, "box": box, "multimask": multimask}
        request = segment_request(
            one, prompts, task, {"model": model, "precision": precision, "depth": depth, "bands": bands}
        )
        call = self._call("/v1/segment", image, request)
        return self._transport.read(call, Segmented)

    def embed(
        self,
        image: str | Path | bytes,
        *,
        known: Embedding | None = None,
        model: str | None = None,
        precision: str | None = None,
        depth: str | None = None,
        bands: Sequence[int] | None = None,
    ) -> Embedding:
        """Embed one image in this call, for programs that run the decoder themselves.

        `known` is an earlier embedding. It is given back where it is still right, and then nothing is computed.
        """
        fields = {"model": model, "precision": precision, "depth": depth, "bands": bands}
        request = {name: value for name, value in fields.items() if value is not None}
        headers = {"If-None-Match": known.etag} if known is not None else {}
        answer = self._transport.send(self._call("/v1/embeddings", image, request, headers))
        if known is not None and answer.status_code == 304:
            return known
        return embedding_of(answer.headers, answer.content)

    def _call(
        self, path: str, image: str | Path | bytes, request: Mapping[str, Any], headers: Mapping[str, str] | None = None
    ) -> Call:
        """A call about one image, which is named or sent along."""
        if isinstance(image, str) and "://" in image:
            return Call("POST", path, headers=headers or {}, json={"image": image, **request})
        upload = in_thread(lambda: upload_of(image))
        files = {"image": upload, "request": (None, encoded(request), "application/json")}
        return Call("POST", path, headers=headers or {}, files=files)
