"""The dispatcher's liveness: a file for the probe, and a watchdog that ends a process whose loop stands still."""

import logging
import os
import threading
import time
from pathlib import Path
from typing import Final

log = logging.getLogger(__name__)

EXIT_STALLED: Final = 73
FILE: Final = "dispatcher-loop"
_LOOKS: Final = 4
"""Times that the watchdog looks within the limit."""


class Beat:
    """The loop calls `touch` between any two things that may take long, leading or standing by."""

    def __init__(self, folder: Path | None, limit_seconds: float) -> None:
        self._file = folder / FILE if folder is not None else None
        self._limit = limit_seconds
        self._at = time.monotonic()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="watchdog", daemon=True)

    def start(self) -> None:
        if self._file is not None:
            self._file.parent.mkdir(parents=True, exist_ok=True)
        self.touch()
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()

    def touch(self) -> None:
        self._at = time.monotonic()
        if self._file is None:
            return
        try:
            self._file.touch()
        except OSError:  # the probe notices
            log.warning("cannot touch %s", self._file, exc_info=True)

    def _watch(self) -> None:
        stalled = False
        while not self._stop.wait(self._limit / _LOOKS):
            # Seen twice: after the whole process stood still, the last beat looks too old at the first look.
            before, stalled = stalled, time.monotonic() - self._at > self._limit
            if before and stalled:
                log.critical("the dispatcher's loop has stood still for %.0f s: ending the process", self._limit)
                logging.shutdown()
                os._exit(EXIT_STALLED)
