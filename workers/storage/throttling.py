"""Slow down for a bucket that throttles. All readers of the process wait, and come back spread over time."""

import random
import threading
import time
from typing import Final

_FIRST: Final = 0.25
_LONGEST: Final = 4.0
_FORGET: Final = 60.0


class Brake:
    """One bucket. Thread-safe.

    Each refusal doubles the pause, and each object that is read halves it. botocore's `adaptive` retries would slow
    down the whole client: one throttled bucket would hold up the jobs of all others.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._pause = 0.0
        self._until = 0.0
        self._since = 0.0
        self._last = float("-inf")

    def throttled(self) -> float:
        """Note a refusal. Returns the seconds since the bucket last served anything."""
        now = time.monotonic()
        with self._lock:
            if now - self._last > _FORGET:
                self._since = now
            self._last = now
            if now >= self._until:  # refusals of requests from before the pause count once
                self._pause = min(_LONGEST, max(_FIRST, 2 * self._pause))
                self._until = now + self._pause
            return now - self._since

    def passed(self) -> None:
        """Note that the bucket served an object."""
        with self._lock:
            self._last = float("-inf")
            self._pause = self._pause / 2 if self._pause > _FIRST else 0.0

    def delay(self) -> float:
        """Seconds to wait before the next request. Each caller gets another value."""
        with self._lock:
            left = self._until - time.monotonic()
            return left + random.random() * self._pause if left > 0 else 0.0
