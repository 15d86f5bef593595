"""The fetch stage: threads that read objects, and one that watches them.

A number of objects are read at a time, not counting slow ones. An object is slow once it has taken `_SLOW` seconds.
Then another thread takes the place of its thread, which ends with the object. Up to `_MOST_SLOW` threads are slow at a
time. A chunk that waits only for slow objects leaves its slot to another (`workers.chunks.slots`).

A ticket leaves at once when it is overdue, or when nobody waits for it: its chunk was cancelled, lost or given back, or
the worker stops. Its thread is interrupted, and ends when the server answers.
"""

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from workers.pipeline.fair_queue import FairQueue
from workers.pipeline.pictures import Pictures
from workers.pipeline.ticket import Picture, Ticket
from workers.storage.reading import GivenUp, Objects, Parts, Reading
from workers.testing import crash_points

log = logging.getLogger(__name__)

_SLOW: Final = 2.0
_TICK: Final = 0.2
_MOST_SLOW: Final = 256


@dataclass(eq=False)
class _Fetch:
    """A ticket that a thread fetches. Its flags are changed under the stage's lock."""

    ticket: Ticket
    reading: Reading | Parts
    started: float = field(default_factory=time.monotonic)
    replaced: bool = False
    left: bool = False


class _Found(NamedTuple):
    """What was read: bytes or a picture, and the object's tag. Neither, where an earlier result is known."""

    data: bytes = b""
    picture: Picture | None = None
    tag: str | None = None


class FetchStage:
    """Daemon threads behind a fair queue. `out` gets each ticket with its data, or with the error that it met."""

    def __init__(
        self,
        objects: Objects,
        pictures: Pictures,
        threads: int,
        stop: threading.Event,
        out: Callable[[Ticket, BaseException | None], None],
    ) -> None:
        self._queue = FairQueue()
        self._objects = objects
        self._pictures = pictures
        self._threads = threads
        self._most_slow = _MOST_SLOW
        self._stop = stop
        self._out = out
        self._lock = threading.Lock()
        self._fetches: set[_Fetch] = set()
        self._slow = 0

    def start(self) -> None:
        for _ in range(self._threads):
            self._spawn()
        threading.Thread(target=self._watch, name="fetch-watch", daemon=True).start()

    def put(self, ticket: Ticket) -> None:
        self._queue.put(ticket)

    def slow_of(self, sink: object) -> int:
        """The number of slow objects of one chunk that are being read."""
        with self._lock:
            return sum(fetch.replaced and not fetch.left and fetch.ticket.sink is sink for fetch in self._fetches)

    def _spawn(self) -> None:
        threading.Thread(target=self._work, name="fetch", daemon=True).start()

    def _work(self) -> None:
        replaced = False
        while not replaced:
            ticket = self._queue.get()
            if ticket.abandoned.is_set():
                self._out(ticket, GivenUp())
                continue
            try:
                crash_points.reach("fetching", ticket.job_id)
                by_windows = ticket.tiling is not None or ticket.region is not None
                fetch = _Fetch(ticket, (self._objects.parts if by_windows else self._objects.open)(ticket.uri))
            except Exception as error:  # noqa: BLE001  the failure table gives the image its reason
                self._out(ticket, error)
                continue
            replaced = self._fetch(fetch)

    def _fetch(self, fetch: _Fetch) -> bool:
        """Read one object. Returns whether this thread was replaced meanwhile."""
        with self._lock:
            self._fetches.add(fetch)
        found = _Found()
        error: BaseException | None = None
        try:
            found = self._read(fetch)
        except BaseException as raised:  # noqa: BLE001  the thread serves the next object
            error = raised
        with self._lock:
            self._fetches.discard(fetch)
            self._slow -= fetch.replaced
        if not fetch.left:
            fetch.ticket.data, fetch.ticket.picture, fetch.ticket.tag = found
            fetch.ticket.fingerprint = _fingerprint(fetch.ticket, found.tag)
            self._leave(fetch, error)
        return fetch.replaced

    def _read(self, fetch: _Fetch) -> "_Found":
        ticket, known = fetch.ticket, _known(fetch.ticket)
        if isinstance(fetch.reading, Parts):
            by_range = self._pictures.by_range(ticket, fetch.reading, known)
            if by_range is not None:
                return _Found(b"", *by_range)
            if fetch.left:
                raise GivenUp
            fetch.reading = self._objects.open(ticket.uri)
        if ticket.region is not None:
            return _Found(b"", *self._pictures.of_whole(ticket, ticket.region, fetch.reading))
        data = fetch.reading.read(known)
        return _Found(data or b"", None, fetch.reading.tag)

    def _leave(self, fetch: _Fetch, error: BaseException | None) -> None:
        fetch.ticket.timings_ms["fetch"] = round((time.monotonic() - fetch.started) * 1000, 3)
        self._out(fetch.ticket, error)

    def _watch(self) -> None:
        while True:
            time.sleep(_TICK)
            with self._lock:
                fetches = list(self._fetches)
            self._pictures.forget()
            for fetch in fetches:
                try:
                    self._look_at(fetch)
                except Exception:  # the other objects have to be watched
                    log.exception("an object cannot be watched over: %s", fetch.reading.uri)

    def _look_at(self, fetch: _Fetch) -> None:
        unwanted = fetch.ticket.abandoned.is_set() or self._stop.is_set()
        if unwanted or fetch.reading.overdue():
            self._interrupt(fetch, GivenUp() if unwanted else fetch.reading.late())
        if not self._stop.is_set() and (fetch.left or time.monotonic() - fetch.started > _SLOW):
            self._replace(fetch)

    def _interrupt(self, fetch: _Fetch, error: Exception) -> None:
        with self._lock:
            if fetch.left or fetch not in self._fetches:
                return
            fetch.left = True
        fetch.reading.end()
        self._leave(fetch, error)

    def _replace(self, fetch: _Fetch) -> None:
        with self._lock:
            if fetch.replaced or fetch not in self._fetches or self._slow >= self._most_slow:
                return
            fetch.replaced = True
            self._slow += 1
        self._spawn()


def _fingerprint(ticket: Ticket, tag: str | None) -> bytes | None:
    return None if tag is None or ticket.fingerprint_of is None else ticket.fingerprint_of(tag)


def _known(ticket: Ticket) -> Callable[[str], bool] | None:
    """Looks for an earlier result of the object with a given tag, and keeps it in the ticket."""
    find = ticket.find
    if find is None:
        return None

    def known(tag: str) -> bool:
        found = _fingerprint(ticket, tag)
        ticket.earlier = None if found is None else find(found)
        return ticket.earlier is not None

    return known
