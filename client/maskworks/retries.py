"""When a call is tried again, and how long to wait before. It knows nothing of HTTP libraries."""

import random
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final

AGAIN: Final = frozenset({408, 429, 500, 502, 503, 504})
FIRST_SECONDS: Final = 0.25
LONGEST_SECONDS: Final = 8.0
LONGEST_ASKED_SECONDS: Final = 120.0
"""A server that asks for more is taken for one that refuses."""


class Retries:
    """The tries of one call. Every call of the client may be repeated: submits carry an idempotency key."""

    def __init__(self, most: int) -> None:
        self._left = most
        self._made = 0

    def pause_after(self, status: int, headers: Mapping[str, str]) -> float | None:
        """Seconds until the next try, or None where the answer is final."""
        if status not in AGAIN or not self._left:
            return None
        asked = read_retry_after(headers.get("retry-after"))
        if asked is not None and asked > LONGEST_ASKED_SECONDS:
            return None
        # A little later than asked, at random: clients that were refused together must not come back together.
        return max(self._next(), (asked or 0.0) * (1 + random.random() / 4))

    def pause_after_failure(self) -> float | None:
        """The same after a connection that broke."""
        return self._next() if self._left else None

    def _next(self) -> float:
        self._left -= 1
        longest = min(LONGEST_SECONDS, FIRST_SECONDS * 2.0**self._made)
        self._made += 1
        # Half of it is at random.
        return longest * (0.5 + random.random() / 2)


def read_retry_after(text: str | None) -> float | None:
    """Seconds, or a date of HTTP → seconds from now. None where it is neither."""
    if text is None:
        return None
    try:
        return max(0.0, float(text))
    except ValueError:
        pass
    from email.utils import parsedate_to_datetime

    try:
        return max(0.0, (parsedate_to_datetime(text) - datetime.now(UTC)).total_seconds())
    except (ValueError, TypeError):
        return None
