"""An object of S3 as a source."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from botocore.exceptions import ClientError

from db.allow_list import AllowList
from db.object_uri import split_uri
from db.states import ItemReason
from workers.failures import ItemFailed
from workers.storage import refusals
from workers.storage.client import check_allowed
from workers.storage.source import Answer
from workers.storage.span import Span, changed, no_ranges, whole_size

_ETAG: Final = "etag "


class S3Object:
    """Implements `Source`."""

    def __init__(self, client: Any, uri: str, buckets: tuple[str, ...], span: Span | None = None) -> None:
        self.shown = uri
        self._client = client
        self._buckets = buckets
        self._span = span
        self._wanted = split_uri(uri)

    def check(self) -> None:
        check_allowed(self.shown, AllowList(self._buckets))

    def tag(self) -> str | None:
        return _tag(self._client.head_object(**self._named()))

    @contextmanager
    def get(self) -> Iterator[Answer]:
        answer = self._client.get_object(**self._named())
        with answer["Body"] as stream:
            tag, whole = _tag(answer), whole_size(answer.get("ContentRange"))
            if self._span is not None:
                if whole is None:
                    raise no_ranges(self.shown)
                self._span.check(tag, self.shown)
            yield Answer(answer["Body"], stream, answer.get("ContentLength"), tag, whole)

    def part(self, start: int, stop: int, tag: str | None) -> "S3Object":
        return S3Object(self._client, self.shown, self._buckets, Span(start, stop, tag))

    def throttled(self, error: Exception) -> bool:
        return refusals.throttled(error)

    def refusal(self, error: Exception) -> ItemFailed | None:
        if self._span is not None and isinstance(error, ClientError):
            status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode")
            if status == 416 and self._span.tag is None:
                return ItemFailed(ItemReason.UNSUPPORTED_FORMAT, "the object is empty (0 bytes)")
            if status in (412, 416):
                return changed(self.shown)
        return refusals.refusal(error, self.shown)

    def describe(self, error: Exception) -> str:
        return refusals.describe(error)

    def _named(self) -> dict[str, str]:
        named = {"Bucket": self._wanted.bucket, "Key": self._wanted.key}
        if self._wanted.version is not None:
            named["VersionId"] = self._wanted.version
        if self._span is not None:
            named["Range"] = self._span.header
            if self._span.tag is not None and self._span.tag.startswith(_ETAG):
                named["IfMatch"] = self._span.tag.removeprefix(_ETAG)
        return named


def _tag(answer: dict[str, Any]) -> str | None:
    """The ETag, or the version's id where the store gives no ETag. A version without an id is called `null`."""
    if etag := answer.get("ETag"):
        return f"{_ETAG}{etag}"
    version = answer.get("VersionId")
    return None if version in (None, "null") else f"version {version}"
