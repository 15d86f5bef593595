"""Calls for one image: taken from Redis, put before bulk work, answered as soon as their image is done.

    taker     takes a call while fewer than `_AT_ONCE` are under way, and puts its image into the pipeline
    answerer  sends each outcome to the API that waits for it
    signer    says that the worker lives, and drops images whose callers have gone

A call that a worker has is not given to another one: an image that kills workers would go on killing.
"""

import hashlib
import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from typing import Final

from redis.exceptions import RedisError

from db.allow_list import AllowList
from db.states import Depth, ItemReason
from intake.calls import BadMessage, Call, read_message
from model.spec import TASK, Embed
from workers.failures import failure_of
from workers.instant.answers import answer, failed
from workers.instant.inbox import Inbox, Taken
from workers.pipeline.models import Models
from workers.pipeline.pipeline import Pipeline
from workers.pipeline.ticket import Model, Outcome, Ticket
from workers.settings import Settings
from workers.storage.client import check_allowed
from workers.testing import crash_points

log = logging.getLogger(__name__)

_AT_ONCE: Final = 16
_WAIT: Final = 1.0
_LISTEN: Final = 0.25
"""How long one question to Redis for the next call lasts. A worker that stops waits for its end."""
_PAUSE: Final = 0.5
"""After Redis did not answer."""


@dataclass(eq=False)
class _Open:
    """A call under way. `until` is when its caller stops waiting, by this process's monotonic clock."""

    name: str
    model: Model
    until: float
    abandoned: threading.Event = field(default_factory=threading.Event)
    etag: str | None = None


class Calls:
    """Answers calls from `start` to `stop`. A Redis that is away costs calls and nothing else."""

    def __init__(
        self, settings: Settings, worker: str, models: Models, pipeline: Pipeline, stopping: threading.Event
    ) -> None:
        self._settings = settings
        self._models = models
        self._pipeline = pipeline
        self._inbox = Inbox(settings.redis_url, worker, settings.models)
        self._sink: SimpleQueue[Outcome] = SimpleQueue()
        self._room = threading.Semaphore(_AT_ONCE)
        self._open: dict[int, _Open] = {}
        self._numbered = 0
        self._changed = threading.Condition()
        self._stopping = stopping
        self._over = threading.Event()
        self._threads: list[threading.Thread] = []

    def start(self) -> None:
        for name, step in (("taker", self._take), ("answerer", self._answer), ("signer", self._sign)):
            self._threads.append(threading.Thread(target=self._repeat, args=(step,), name=f"calls-{name}", daemon=True))
            self._threads[-1].start()

    @property
    def under_way(self) -> int:
        return len(self._open)

    def stop(self, seconds: float) -> None:
        """Answer what is done within `seconds`, and let the other callers know that this worker stops.

        Setting `stopping` has made it take no more.
        """
        if self._over.is_set():
            return
        with self._changed:
            self._changed.wait_for(lambda: not self._open, seconds)
            left = list(self._open.values())
        self._over.set()
        # Cut off, the taker would lose the call that Redis is handing to it, and the signer could sign after us.
        for thread in self._threads:
            thread.join(_WAIT)
        try:
            for call in left:
                call.abandoned.set()
                self._inbox.answer(call.name, failed(ItemReason.WORKER_LOST, "the worker stops: try again"))
            self._inbox.sign_off()
        except RedisError as error:
            log.warning("could not end %d calls, their callers notice: %s", len(left), error)
        self._inbox.close()

    def _repeat(self, step: Callable[[], None]) -> None:
        while not self._over.is_set():
            try:
                step()
            except (RedisError, OSError) as error:
                log.warning("calls for one image are not served: %s", error)
                self._over.wait(_PAUSE)
            except Exception:
                log.exception("a call failed")
                self._over.wait(_PAUSE)

    def _take(self) -> None:
        if self._stopping.is_set():
            self._over.wait(_WAIT)
            return
        if not self._room.acquire(timeout=_WAIT):
            return
        admitted = False
        try:
            found = self._inbox.wait(_LISTEN)
            if found is not None and self._stopping.is_set():
                self._inbox.give_back(*found)
            elif found is not None:
                taken = self._inbox.take(found[1])
                admitted = taken is not None and self._admit(taken)
        finally:
            if not admitted:
                self._room.release()

    def _admit(self, taken: Taken) -> bool:
        """Put the call's image into the pipeline. False: it was answered without."""
        until = time.monotonic() + taken.seconds
        crash_points.reach("call_taken")
        try:
            call, octets = read_message(Call, taken.message)
            opened = _Open(taken.name, self._model(call), until)
            ticket = self._ticket(call, octets, opened)
        except Exception as error:  # noqa: BLE001  whoever waits is told
            self._refuse(taken, error)
            return False
        # A suspect image of a job must be alone.
        if not self._pipeline.gate.enter(1, lambda: self._stopping.is_set() or time.monotonic() > until):
            self._inbox.answer(taken.name, failed(ItemReason.WORKER_LOST, "the worker is not free: try again"))
            return False
        ticket.timings_ms["queue"] = round((call.seconds - (until - time.monotonic())) * 1000, 3)
        with self._changed:
            self._open[ticket.index] = opened
        self._pipeline.submit(ticket)
        return True

    def _model(self, call: Call) -> Model:
        if call.model not in self._settings.models:
            raise BadMessage(f"this worker does not serve {call.model!r}")
        return self._models.get(call.model, call.precision)

    def _ticket(self, call: Call, octets: bytes, opened: _Open) -> Ticket:
        if call.image is not None:
            check_allowed(call.image, AllowList(self._settings.buckets, call.places))
        elif not octets:
            raise BadMessage("neither an image nor its octets")
        self._numbered += 1
        return Ticket(
            index=self._numbered,
            uri=call.image or "",
            task=Embed() if call.task is None else TASK.validate_python(call.task),
            model=opened.model,
            sink=self._sink,
            abandoned=opened.abandoned,
            interactive=True,
            depth=call.depth,
            bands=call.bands,
            data=octets,
            is_known=None if call.task is not None else lambda data: _is_known(call, opened, data),
        )

    def _refuse(self, taken: Taken, error: Exception) -> None:
        failure = failure_of(error)
        if failure.reason is ItemReason.INTERNAL:
            log.error("a call could not be served", exc_info=error)
        self._inbox.answer(taken.name, failed(failure.reason, failure.detail))

    def _answer(self) -> None:
        try:
            outcome = self._sink.get(timeout=_LISTEN)
        except Empty:
            return
        self._room.release()
        call = self._open[outcome.index]
        try:
            crash_points.reach("call_done")
            self._inbox.answer(call.name, _message(outcome, call))
        finally:
            with self._changed:
                del self._open[outcome.index]
                self._changed.notify_all()

    def _sign(self) -> None:
        self._inbox.sign()
        with self._changed:
            under_way = list(self._open.values())
        forsaken = self._inbox.forsaken([call.name for call in under_way])
        for call in under_way:
            if call.name in forsaken or time.monotonic() > call.until:
                call.abandoned.set()
        self._over.wait(_WAIT)


def _is_known(call: Call, opened: _Open, data: bytes) -> bool:
    """Compute the embedding's ETag, and compare it with those that the caller has."""
    model = opened.model
    content = hashlib.sha256(data).hexdigest()
    depth = "" if call.depth is Depth.AUTO else f"-{call.depth.value}"
    depth += "" if call.bands is None else f"-{call.bands}".replace(" ", "")
    opened.etag = f'"{content}-{model.name}-{model.revision}-{model.precision}{depth}"'
    return opened.etag in call.etags


def _message(outcome: Outcome, call: _Open) -> bytes:
    try:
        return answer(outcome, call.model, call.etag)
    except Exception as error:
        log.exception("an answer could not be made")
        failure = failure_of(error)
        return failed(failure.reason, failure.detail)
