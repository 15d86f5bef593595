"""How many seconds of this worker an item takes, by model and type of task. Scaling reads it (`db.statements.scaling`).

Chunks that run side by side share the worker's time equally, so that the seconds of all chunks add up to the time in
which the worker was busy.
"""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from db.statements.scaling import Pace

_HALF_LIFE: Final = 450.0
"""Seconds of work after which a measure counts half."""

Kind = tuple[str, str]


@dataclass
class Run:
    """A chunk being worked on. `items` is set once it is known how many it has ended."""

    items: int = 0


@dataclass
class _Sums:
    items: float = 0.0
    seconds: float = 0.0


class Paces:
    """The measures of one process. Used by every thread that runs a chunk."""

    def __init__(self, worker: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._worker = worker
        self._clock = clock
        self._lock = threading.Lock()
        self._running = 0
        self._share = 0.0  # seconds that each chunk would have had, had it run all the time
        self._at = clock()
        self._sums: dict[Kind, _Sums] = {}
        self._changed = False

    @contextmanager
    def run(self, model: str, task: str) -> Iterator[Run]:
        """Measure the chunk that the block works on."""
        run, began = Run(), self._pass(1)
        try:
            yield run
        finally:
            seconds = self._pass(-1) - began
            if run.items > 0 and seconds > 0:
                self._add((model, task), run.items, seconds)

    def changed(self) -> list[Pace]:
        """The measures, if there are any since the last call."""
        with self._lock:
            if not self._changed:
                return []
            self._changed = False
            return [Pace(self._worker, model, task, s.items, s.seconds) for (model, task), s in self._sums.items()]

    def _pass(self, more: int) -> float:
        with self._lock:
            now = self._clock()
            if self._running:
                self._share += (now - self._at) / self._running
            self._at = now
            self._running += more
            return self._share

    def _add(self, kind: Kind, items: int, seconds: float) -> None:
        with self._lock:
            sums = self._sums.setdefault(kind, _Sums())
            kept = 0.5 ** (seconds / _HALF_LIFE)
            sums.items = sums.items * kept + items
            sums.seconds = sums.seconds * kept + seconds
            self._changed = True
