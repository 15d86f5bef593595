"""What the errors of a store mean for a job whose input is read: try again, or fail."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

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
from workers.dispatcher.ingest.source import InputFailed

_REFUSED: Final = frozenset({
    "NoSuchBucket", "NoSuchKey", "NoSuchVersion", "AccessDenied", "403", "404", "InvalidAccessKeyId",
    "SignatureDoesNotMatch", "InvalidBucketName",
})  # fmt: skip
"""Codes that trying again does not change."""
_CHANGED: Final = frozenset({"PreconditionFailed", "412", "InvalidRange", "416"})


@contextmanager
def store_errors() -> Iterator[None]:
    """Turn whatever a call of boto3 raises into InputFailed."""
    try:
        yield
    except ClientError as error:
        raise _refusal(error) from error
    except (NoCredentialsError, PartialCredentialsError, CredentialRetrievalError) as error:
        raise InputFailed(JobReason.INPUT_UNREADABLE, f"the service has no S3 credentials: {error}") from error
    except (BotoCoreError, HTTPError, OSError) as error:
        raise InputFailed(JobReason.STORAGE_UNAVAILABLE, f"{type(error).__name__}: {error}") from error
    except (ResponseParserError, LookupError, ValueError, TypeError) as error:
        # What botocore raises over a listing without keys, or with dates and numbers that are none.
        raise unreadable(f"{type(error).__name__}: {error}") from error


def unreadable(why: str) -> InputFailed:
    """The answer has no sense. It may have some the next time."""
    return InputFailed(JobReason.INPUT_UNREADABLE, f"the store's answer cannot be read: {why}")


def changed() -> InputFailed:
    """The object is another one than that of the pages before."""
    detail = "it was changed while it was read, so its items belong to two versions: submit the job again"
    return InputFailed(JobReason.INPUT_UNREADABLE, detail, for_good=True)


def _refusal(error: ClientError) -> InputFailed:
    code = str(error.response.get("Error", {}).get("Code", ""))
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    if code in _CHANGED:
        return changed()
    if code in _REFUSED:
        return InputFailed(JobReason.INPUT_UNREADABLE, code, for_good=True)
    # botocore takes a 200 that it cannot parse for a 500, and both may pass.
    ours = 400 <= status < 500 and code not in ("SlowDown", "Throttling", "RequestTimeout")
    return InputFailed(JobReason.INPUT_UNREADABLE if ours else JobReason.STORAGE_UNAVAILABLE, str(error))
