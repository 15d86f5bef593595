"""Exceptions of the client.

MaskworksError
├─ ConfigError          there is no URL or key, or a file of settings cannot be read
├─ MissingExtra         a package is not installed that this call needs
├─ UploadError          a local file could not be brought to S3
├─ ConnectionFailed     the server could not be reached, or hung up, at every try
├─ WaitTimeout          the job goes on; the time to wait for it is over
├─ JobUnsuccessful      the job ended, but not every item succeeded
└─ APIError             the server's refusal: `status`, `reason`, `detail`, `errors`
   ├─ Unauthenticated   401
   ├─ Forbidden         403
   ├─ NotFound          404
   ├─ Conflict          409
   ├─ TooManyRequests   429, at every try
   ├─ InvalidRequest    any other 4xx: the request is wrong
   └─ ServerError       5xx, at every try
"""

from collections.abc import Mapping, Sequence
from typing import Any


class MaskworksError(Exception):
    """Every exception of this package."""


class ConfigError(MaskworksError):
    """There is no URL or key, or a file of settings cannot be read."""


class MissingExtra(MaskworksError):
    """A package is not installed that this call needs."""

    def __init__(self, what: str, extra: str) -> None:
        super().__init__(f"{what} needs more packages: run pip install 'maskworks-client[{extra}]'")
        self.extra = extra


class UploadError(MaskworksError):
    """A local file could not be brought to S3."""


class ConnectionFailed(MaskworksError):
    """The server could not be reached, or hung up, at every try."""


class WaitTimeout(MaskworksError, TimeoutError):
    """The job goes on; the time to wait for it is over."""


class JobUnsuccessful(MaskworksError):
    """The job ended, but not every item succeeded."""

    def __init__(self, job_id: str, state: str, detail: str) -> None:
        super().__init__(f"{job_id} {state}: {detail}")
        self.job_id = job_id
        self.state = state


class APIError(MaskworksError):
    """The server's refusal. Programs use `reason`; people read `detail`."""

    def __init__(self, status: int, reason: str, detail: str, errors: Sequence[Mapping[str, Any]] = ()) -> None:
        super().__init__(f"{reason}: {detail}" if detail else f"{status} {reason}")
        self.status = status
        self.reason = reason
        self.detail = detail
        self.errors = list(errors)


class Unauthenticated(APIError):
    """The server does not know the API key."""


class Forbidden(APIError):
    """The API key may not make this call."""


class NotFound(APIError):
    """There is no such job or item, or it is another tenant's."""


class Conflict(APIError):
    """The job is in a state that does not allow this."""


class TooManyRequests(APIError):
    """The tenant or the address sends too much, and waiting as long as asked did not help."""


class InvalidRequest(APIError):
    """The request is wrong. `errors` point to the fields."""


class ServerError(APIError):
    """The server failed or is overloaded, at every try."""


_OF_STATUS: dict[int, type[APIError]] = {
    401: Unauthenticated,
    403: Forbidden,
    404: NotFound,
    409: Conflict,
    429: TooManyRequests,
}


def error_of(status: int, problem: Any) -> APIError:
    """The exception for an answer. `problem` is its JSON, or None where it is no problem+json."""
    body = problem if isinstance(problem, dict) else {}
    cls = _OF_STATUS.get(status, ServerError if status >= 500 else InvalidRequest)
    detail = str(body.get("detail") or f"the server answered {status} without a reason")
    return cls(status, str(body.get("reason") or "UNKNOWN"), detail, body.get("errors") or ())
