"""One page of a bucket's keys, checked. Whatever else a store answers becomes a InputFailed."""

import hashlib
from dataclasses import dataclass
from typing import Any, Final

from db.states import JobReason
from workers.dispatcher.ingest.source import InputFailed
from workers.dispatcher.ingest.store_errors import store_errors, unreadable

PAGE_KEYS: Final = 1000


@dataclass(frozen=True)
class Page:
    """Keys as the store gave them. `token` asks for the next page; None ends the listing."""

    keys: tuple[str, ...]
    token: str | None

    @property
    def digest(self) -> bytes:
        """Equal for the same page again. A page without keys is known by its token."""
        content = "\0".join(self.keys) if self.keys else f"\0{self.token}"
        return hashlib.sha256(content.encode(errors="surrogatepass")).digest()


def list_page(s3: Any, bucket: str, prefix: str, token: str | None) -> Page:
    """Raises InputFailed."""
    more = {"ContinuationToken": token} if token is not None else {}
    with store_errors():
        answer = s3.list_objects_v2(Bucket=bucket, Prefix=prefix, MaxKeys=PAGE_KEYS, **more)
    return _page(answer, token)


def _page(answer: dict[str, Any], token: str | None) -> Page:
    if not {"IsTruncated", "Contents", "Name"} & answer.keys():
        raise unreadable("it is no listing")
    keys = tuple(entry.get("Key") for entry in answer.get("Contents", ()))
    if not all(keys):
        raise unreadable("an entry has no key")
    if not answer.get("IsTruncated"):
        return Page(keys, None)
    following = answer.get("NextContinuationToken")
    if not following:
        raise unreadable("it is truncated and has no token for the next page")
    if following == token:
        raise no_progress("gives the same continuation token again")
    return Page(keys, following)


def no_progress(what: str) -> InputFailed:
    return InputFailed(JobReason.INPUT_UNREADABLE, f"the store {what}: its listing has no end", for_good=True)
