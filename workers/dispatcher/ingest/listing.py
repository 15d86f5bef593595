"""One page of a bucket's keys, checked. Whatever else a store answers becomes a ListingFailed."""

import hashlib
from dataclasses import dataclass
from typing import Any, Final

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    CredentialRetrievalError,
    NoCredentialsError,
    PartialCredentialsError,
)
from botocore.parsers import ResponseParserError
from urllib3.exceptions import HTTPError

from db.states import JobReason

PAGE_KEYS: Final = 1000
_REFUSED: Final = frozenset(
    {"NoSuchBucket", "AccessDenied", "403", "404", "InvalidAccessKeyId", "SignatureDoesNotMatch", "InvalidBucketName"}
)
"""Codes that trying again does not change."""


class ListingFailed(Exception):
    """The prefix cannot be listed, now or for good."""

    def __init__(self, reason: JobReason, detail: str, *, for_good: bool = False) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail
        self.for_good = for_good


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
    """Raises ListingFailed."""
    more = {"ContinuationToken": token} if token is not None else {}
    try:
        answer = s3.list_objects_v2(Bucket=bucket, Prefix=prefix, MaxKeys=PAGE_KEYS, **more)
    except ClientError as error:
        raise _refusal(error) from error
    except (NoCredentialsError, PartialCredentialsError, CredentialRetrievalError) as error:
        raise ListingFailed(JobReason.INPUT_UNREADABLE, f"the service has no S3 credentials: {error}") from error
    except (BotoCoreError, HTTPError, OSError) as error:
        raise ListingFailed(JobReason.STORAGE_UNAVAILABLE, f"{type(error).__name__}: {error}") from error
    except (ResponseParserError, LookupError, ValueError, TypeError) as error:
        # What botocore raises over a listing without keys, or with dates and numbers that are none.
        raise _unreadable(f"{type(error).__name__}: {error}") from error
    return _page(answer, token)


def _page(answer: dict[str, Any], token: str | None) -> Page:
    if not {"IsTruncated", "Contents", "Name"} & answer.keys():
        raise _unreadable("it is no listing")
    keys = tuple(entry.get("Key") for entry in answer.get("Contents", ()))
    if not all(keys):
        raise _unreadable("an entry has no key")
    if not answer.get("IsTruncated"):
        return Page(keys, None)
    following = answer.get("NextContinuationToken")
    if not following:
        raise _unreadable("it is truncated and has no token for the next page")
    if following == token:
        raise no_progress("gives the same continuation token again")
    return Page(keys, following)


def no_progress(what: str) -> ListingFailed:
    return ListingFailed(JobReason.INPUT_UNREADABLE, f"the store {what}: its listing has no end", for_good=True)


def _unreadable(why: str) -> ListingFailed:
    return ListingFailed(JobReason.INPUT_UNREADABLE, f"the store's answer cannot be read: {why}")


def _refusal(error: ClientError) -> ListingFailed:
    code = str(error.response.get("Error", {}).get("Code", ""))
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    if code in _REFUSED:
        return ListingFailed(JobReason.INPUT_UNREADABLE, code, for_good=True)
    # botocore takes a 200 that it cannot parse for a 500, and both may pass.
    ours = 400 <= status < 500 and code not in ("SlowDown", "Throttling", "RequestTimeout")
    return ListingFailed(JobReason.INPUT_UNREADABLE if ours else JobReason.STORAGE_UNAVAILABLE, str(error))
