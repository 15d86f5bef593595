"""The retry rules: which errors of S3 are final, which mean throttling, and which are tried again.

refused     the item (of a write, the output) fails at once, with a reason and what to do about it
throttled   the item waits; it does not fail while the bucket serves anything
the rest    5xx, resets, timeouts, short reads: tried again a few times, then STORAGE_UNAVAILABLE
"""

from typing import Final

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    InvalidConfigError,
    NoAuthTokenError,
    NoCredentialsError,
    ParamValidationError,
    PartialCredentialsError,
    ProfileNotFound,
    SSOError,
    TokenRetrievalError,
)
from urllib3.exceptions import HTTPError

from db.object_uri import VERSION_MARK
from db.states import ItemReason, OutputReason
from workers.failures import ItemFailed

READ_ERRORS: Final = (ClientError, BotoCoreError, HTTPError, OSError, ValueError)
"""Everything that reading an object raises. ValueError: a header that cannot be parsed."""

_NO_CREDENTIALS: Final = (
    NoCredentialsError,
    PartialCredentialsError,
    ProfileNotFound,
    InvalidConfigError,
    NoAuthTokenError,
    SSOError,
    TokenRetrievalError,
)
_THROTTLED: Final = frozenset(
    {
        "SlowDown",
        "SlowDownRead",
        "Throttling",
        "ThrottlingException",
        "ThrottledException",
        "RequestThrottled",
        "RequestThrottledException",
        "RequestLimitExceeded",
        "BandwidthLimitExceeded",
        "LimitExceededException",
        "TooManyRequests",
        "TooManyRequestsException",
        "429",
    }
)
_NOT_FOUND: Final = frozenset({"NoSuchKey", "NoSuchBucket", "NoSuchVersion", "NotFound", "KeyTooLongError", "404"})
_NO_VERSION: Final = frozenset({"InvalidArgument", "NotImplemented"})
"""Answers to an id that no version can have, and of stores without versions."""
_STATUS: Final = {
    401: ItemReason.ACCESS_DENIED,
    403: ItemReason.ACCESS_DENIED,
    404: ItemReason.OBJECT_NOT_FOUND,
    405: ItemReason.OBJECT_NOT_FOUND,  # the newest version is a delete marker
    410: ItemReason.OBJECT_NOT_FOUND,
}
_RENEW = "the worker's S3 credentials have expired; renew them, or let the worker use a role that renews itself"
_KEYS = "the worker's S3 credentials are wrong; check MASKWORKS_S3_ACCESS_KEY and MASKWORKS_S3_SECRET_KEY"
_NO_KEYS = (
    "give the worker a role or MASKWORKS_S3_ACCESS_KEY and MASKWORKS_S3_SECRET_KEY, "
    "or set MASKWORKS_S3_UNSIGNED for public buckets"
)
_DENIED: Final = {
    "AccessDenied": "the worker may not read it; grant s3:GetObject to its credentials",
    "AllAccessDisabled": "the bucket is disabled; ask its owner",
    "ExpiredToken": _RENEW,
    "ExpiredTokenException": _RENEW,
    "TokenRefreshRequired": _RENEW,
    "InvalidToken": _RENEW,
    "InvalidAccessKeyId": _KEYS,
    "SignatureDoesNotMatch": _KEYS,
    "RequestTimeTooSkewed": "the worker's clock is wrong; set it by NTP",
    "InvalidObjectState": "the object is archived; restore it and retry",
    "UserProjectMissing": "the bucket is requester-pays; set MASKWORKS_S3_REQUESTER_PAYS",
}


WRITE_ERRORS: Final = (*READ_ERRORS, KeyError)
"""Everything that writing an object raises. KeyError: an answer without what it must have."""

_MAY_PASS: Final = frozenset(
    {
        *("ExpiredToken", "ExpiredTokenException", "TokenRefreshRequired", "RequestTimeTooSkewed"),
        *("NoSuchUpload", "NoSuchKey"),
    }
)
"""Refused with 403 or 404, and taken later: credentials that are renewed, an upload that is begun again."""


def write_refusal(error: Exception) -> OutputReason | None:
    """Why an object can never be written, or None where another try may help."""
    if isinstance(error, _NO_CREDENTIALS):
        return OutputReason.ACCESS_DENIED
    if isinstance(error, ParamValidationError):
        return OutputReason.BUCKET_NOT_FOUND
    if not isinstance(error, ClientError) or _code(error) in _MAY_PASS:
        return None
    if _code(error) in ("NoSuchBucket", "InvalidBucketName"):
        return OutputReason.BUCKET_NOT_FOUND
    refused = {401: OutputReason.ACCESS_DENIED, 403: OutputReason.ACCESS_DENIED, 404: OutputReason.BUCKET_NOT_FOUND}
    return refused.get(_status(error))


def throttled(error: Exception) -> bool:
    """Whether S3 asked for fewer requests."""
    return isinstance(error, ClientError) and (_code(error) in _THROTTLED or _status(error) == 429)


def refusal(error: Exception, uri: str) -> ItemFailed | None:
    """The failure of an item whose object is refused for good, or None where another try may help."""
    if isinstance(error, _NO_CREDENTIALS):
        return ItemFailed(ItemReason.ACCESS_DENIED, f"{uri}: {error}; {_NO_KEYS}")
    if isinstance(error, ParamValidationError):
        return ItemFailed(ItemReason.OBJECT_NOT_FOUND, f"{uri}: no object can have this name: {error}")
    if not isinstance(error, ClientError):
        return None
    code = _code(error)
    if code in _DENIED:
        return ItemFailed(ItemReason.ACCESS_DENIED, f"{uri}: {code}: {_DENIED[code]}")
    if code in _NOT_FOUND or (code in _NO_VERSION and VERSION_MARK in uri):
        return ItemFailed(ItemReason.OBJECT_NOT_FOUND, f"{uri}: {code}")
    reason = _STATUS.get(_status(error))
    return None if reason is None else ItemFailed(reason, f"{uri}: {code}")


def describe(error: Exception) -> str:
    code = f"{_code(error)}: " if isinstance(error, ClientError) else f"{type(error).__name__}: "
    return f"{code}{error}"


def _code(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))


def _status(error: ClientError) -> int:
    return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
