"""Exit codes of `maskworks`. Pipelines rely on them; docs/client.md lists them."""

from enum import IntEnum

from maskworks.errors import (
    APIError,
    ConfigError,
    ConnectionFailed,
    JobUnsuccessful,
    MaskworksError,
    ServerError,
    TooManyRequests,
    WaitTimeout,
)


class Exit(IntEnum):
    OK = 0
    ERROR = 1
    """Anything else, such as a file that cannot be read."""
    USAGE = 2
    """Wrong arguments, or no server or key is configured."""
    PARTIAL = 3
    """The job has ended, and some of its items failed."""
    UNSUCCESSFUL = 4
    """The job has failed, was cancelled or has expired."""
    REFUSED = 5
    """The server refuses the request: it would refuse it again."""
    UNREACHABLE = 6
    """The server cannot be reached, fails, or asks to come back later."""
    TIMEOUT = 7
    """`--timeout` is over. The job goes on."""
    INTERRUPTED = 130
    """Ctrl-C. The job goes on."""


_OF_ERROR: dict[type[MaskworksError], Exit] = {
    ConfigError: Exit.USAGE,
    JobUnsuccessful: Exit.UNSUCCESSFUL,
    WaitTimeout: Exit.TIMEOUT,
    ConnectionFailed: Exit.UNREACHABLE,
    ServerError: Exit.UNREACHABLE,
    TooManyRequests: Exit.UNREACHABLE,
    APIError: Exit.REFUSED,
    MaskworksError: Exit.ERROR,
}


def of_error(error: MaskworksError) -> Exit:
    """The code for the nearest class of an exception."""
    return next(_OF_ERROR[cls] for cls in type(error).__mro__ if cls in _OF_ERROR)


def of_state(state: str) -> Exit:
    """The code for a job that has ended."""
    known = {"succeeded": Exit.OK, "partially_succeeded": Exit.PARTIAL}
    return known.get(state, Exit.UNSUCCESSFUL)
