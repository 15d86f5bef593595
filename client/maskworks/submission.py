"""What a submit sends: keyword arguments → a body, as JSON or, for many items, as lines."""

import io
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from itertools import chain, islice
from pathlib import Path
from typing import IO, Any, Final, TypedDict

import msgspec

Task = str | Mapping[str, Any]
"""`"auto"`, `"prompted"`, or a task with its parameters, as the REST guide describes it."""
Image = str | Path

_MOST_IN_JSON: Final = 1_000
_IN_MEMORY: Final = 8 * 1024 * 1024


class JobFields(TypedDict, total=False):
    """Fields of a job beside its task and its input. See the REST guide."""

    name: str
    labels: Mapping[str, str]
    model: str
    precision: str
    priority: int
    deadline: datetime | str
    max_failure_ratio: float
    reuse: bool
    output: Mapping[str, Any]
    webhook: Mapping[str, Any]


@dataclass(frozen=True)
class Input:
    """Where the images of a job come from: one of items, images, a prefix and a manifest."""

    prefix: str | None = None
    glob: str | None = None
    manifest: str | None = None
    items: Iterable[Mapping[str, Any]] | None = None
    images: Iterable[Image] | None = None
    prompts: Sequence[Mapping[str, Any]] | None = None
    depth: str | None = None
    bands: Sequence[int] | None = None

    def check(self) -> None:
        """Raises ValueError unless there is exactly one source."""
        given = [name for name in ("prefix", "manifest", "items", "images") if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(f"give one of prefix, manifest, items and images, not {' and '.join(given) or 'none'}")

    def all_items(self) -> Iterator[dict[str, Any]] | None:
        """Items in the form of the API, but for local files. None for a prefix and a manifest."""
        if self.images is not None:
            return ({"image": image} for image in self.images)
        return None if self.items is None else (dict(item) for item in self.items)

    def fields(self) -> dict[str, Any]:
        names = ("prefix", "glob", "manifest", "prompts", "depth", "bands")
        return {name: getattr(self, name) for name in names if getattr(self, name) is not None}


@dataclass(frozen=True)
class Body:
    """A body that can be sent again: a retried submit has to send the same bytes."""

    file: IO[bytes]
    media_type: str
    size: int

    def close(self) -> None:
        self.file.close()


def body_of(
    given: Input, task: Task | None, fields: Mapping[str, Any], items: Iterable[Mapping[str, Any]] | None
) -> Body:
    """`items` are those of the input, with every local file replaced by its place in S3."""
    if items is None:
        return _json(_head(given, task, fields, False))
    items = iter(items)
    first = list(islice(items, _MOST_IN_JSON + 1))
    if len(first) <= _MOST_IN_JSON:
        head = _head(given, task, fields, any("prompts" in item for item in first))
        head["input"]["items"] = first
        return _json(head)
    prompted = "prompts" in first[0]
    return _lines(_head(given, task, fields, prompted), chain(first, items))


def _head(given: Input, task: Task | None, fields: Mapping[str, Any], prompted: bool) -> dict[str, Any]:
    if task is None:
        task = "prompted" if prompted or given.prompts else "auto"
    body = {"task": {"type": task} if isinstance(task, str) else dict(task), "input": given.fields()}
    return {**{name: value for name, value in fields.items() if value is not None}, **body}


def _json(body: Mapping[str, Any]) -> Body:
    content = encoded(body)
    return Body(io.BytesIO(content), "application/json", len(content))


def _lines(head: dict[str, Any], items: Iterable[Mapping[str, Any]]) -> Body:
    import tempfile

    file = tempfile.SpooledTemporaryFile(_IN_MEMORY)  # noqa: SIM115 - the body closes it
    if not head["input"]:
        del head["input"]
    for line in chain([head], items):
        file.write(encoded(line) + b"\n")
    return Body(file, "application/x-ndjson", file.tell())


def encoded(value: Any) -> bytes:
    """JSON. Times get a zone, and arrays of numpy become lists."""
    return msgspec.json.encode(value, enc_hook=_plain)


def _plain(value: Any) -> Any:
    for name in ("tolist", "isoformat", "__fspath__"):
        convert: Callable[[], Any] | None = getattr(value, name, None)
        if convert is not None:
            return convert()
    raise TypeError(f"{type(value).__name__} has no form in JSON")


def local_file(image: Any) -> Path | None:
    """The file that an item's image names; None where it is a URI."""
    if isinstance(image, str) and "://" in image:
        return None
    return Path(image)


def read_items(path: Path) -> Iterator[dict[str, Any]]:
    """Items of a local file of JSON lines."""
    with path.open() as lines:
        for number, line in enumerate(lines, 1):
            with suppress(json.JSONDecodeError):
                if isinstance(item := json.loads(line), dict):
                    yield item
                    continue
            raise ValueError(f"{path}, line {number} is no JSON object")


def segment_request(
    one: Mapping[str, Any], prompts: Sequence[Mapping[str, Any]] | None, task: Task | None, fields: Mapping[str, Any]
) -> dict[str, Any]:
    """The body of a call for one image, without the image. `one` is a prompt given as arguments."""
    given = {name: value for name, value in one.items() if value is not None}
    if given and prompts is not None:
        raise ValueError("give prompts, or the parts of a single one, not both")
    if "points" in given:
        given.setdefault("labels", [1] * len(given["points"]))
    every = [given] if given else prompts
    if task is None:
        task = "prompted" if every else "auto"
    body = {"task": {"type": task} if isinstance(task, str) else dict(task)}
    return body | ({"prompts": every} if every else {}) | {k: v for k, v in fields.items() if v is not None}


def upload_body(file: str | Path) -> Body:
    """A local image as a body. Close it."""
    opened = Path(file).open("rb")  # noqa: SIM115
    return Body(opened, "application/octet-stream", os.fstat(opened.fileno()).st_size)


def upload_of(image: Image | bytes) -> tuple[str, bytes]:
    """A name and the bytes of a local image."""
    if isinstance(image, bytes):
        return "image", image
    return Path(image).name, Path(image).read_bytes()
