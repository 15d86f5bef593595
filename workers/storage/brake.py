"""Slow down for a bucket that throttles: every reader of the process waits, and they come back spread over time."""

import random
import threading
import time
from typing import Final

_FIRST: Final = 0.25
_LONGEST: Final = 4.0
_FORGET: Final = 60.0


class Brake:
    """One bucket. Thread-safe.

    Each refusal doubles the pause, each object that passes halves it. botocore's `adaptive` retries slow down the whole
    client, so one throttled bucket would hold up the jobs of all the others.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._pause = 0.0
        self._until = 0.0
        self._since = 0.0
        self._last = float("-inf")

    def throttled(self) -> float:
        """The bucket refused. Returns for how many seconds it has done so without serving anything."""
        now = time.monotonic()
        with self._lock:
            if now - self._last > _FORGET:
                self._since = now
            self._last = now
            if now >= self._until:  # refusals of what was asked before the pause began count once
                self._pause = min(_LONGEST, max(_FIRST, 2 * self._pause))
                self._until = now + self._pause
            return now - self._since

    def passed(self) -> None:
        """The bucket answered."""
        with self._lock:
            self._last = float("-inf")
            self._pause = self._pause / 2 if self._pause > _FIRST else 0.0

    def delay(self) -> float:
        """Seconds to wait before the bucket is asked again; differs for each caller."""
        with self._lock:
            left = self._until - time.monotonic()
            return left + random.random() * self._pause if left > 0 else 0.0
