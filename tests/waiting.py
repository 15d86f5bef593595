"""Wait for what another thread or process does."""

import time
from collections.abc import Callable

PLENTY = 40.0


def wait_for(what: Callable[[], object], seconds: float = PLENTY) -> None:
    until = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < until, "it did not come about in time"
        time.sleep(0.02)
