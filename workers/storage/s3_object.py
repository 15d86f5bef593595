"""An object of S3 as a source."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from db.allow_list import AllowList
from db.object_uri import split_uri
from workers.failures import ItemFailed
from workers.storage import refusals
from workers.storage.client import check_allowed
from workers.storage.source import Answer


class S3Object:
    """Implements `Source`."""

    def __init__(self, client: Any, uri: str, buckets: tuple[str, ...]) -> None:
        self.shown = uri
        self._client = client
        self._buckets = buckets
        self._wanted = split_uri(uri)

    def check(self) -> None:
        check_allowed(self.shown, AllowList(self._buckets))

    def tag(self) -> str | None:
        return _tag(self._client.head_object(**self._named()))

    @contextmanager
    def get(self) -> Iterator[Answer]:
        answer = self._client.get_object(**self._named())
        with answer["Body"] as stream:
            yield Answer(answer["Body"], stream, answer.get("ContentLength"), _tag(answer))

    def throttled(self, error: Exception) -> bool:
        return refusals.throttled(error)

    def refusal(self, error: Exception) -> ItemFailed | None:
        return refusals.refusal(error, self.shown)

    def describe(self, error: Exception) -> str:
        return refusals.describe(error)

    def _named(self) -> dict[str, str]:
        version = {} if self._wanted.version is None else {"VersionId": self._wanted.version}
        return {"Bucket": self._wanted.bucket, "Key": self._wanted.key, **version}


def _tag(answer: dict[str, Any]) -> str | None:
    """The ETag, or the version's id where the store gives no ETag. A version without an id is called `null`."""
    if etag := answer.get("ETag"):
        return f"etag {etag}"
    version = answer.get("VersionId")
    return None if version in (None, "null") else f"version {version}"
