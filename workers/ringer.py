"""The doorbell: publishes chunk ids to Redis from a thread of its own, so that a frozen Redis blocks nothing else.

A message that could not be sent is dropped: its row stays `dispatched`, is not found in Redis, and is rung again.
"""

import logging
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from uuid import UUID

from celery import Celery
from kombu.exceptions import KombuError
from redis import Redis
from redis.exceptions import RedisError

from db.states import TASK_NAME, queue_name
from workers.broker import URGENCIES, queue_keys
from workers.doorbell import chunk_of

log = logging.getLogger(__name__)

_LOOK_EVERY = 0.5
_BATCH = 1000
_PROMOTE_AFTER = 30.0
"""A message that others were let past for this long queues up with them: nothing urgent can starve the rest."""


@dataclass(frozen=True)
class Ring:
    """One message to send: ids only, for the queue of the workers that have `model` loaded; urgency 0 goes first."""

    model: str
    job_id: UUID
    chunk_no: int
    urgency: int = 0


@dataclass(frozen=True)
class Bell:
    """The chunks whose messages waited in Redis when it was asked. Whatever was rung before `at` (monotonic clock) had
    been sent by then."""

    waiting: frozenset[tuple[UUID, int]]
    at: float


def urgency(share: float) -> int:
    """The less of what is in work a job has, the sooner its message is taken: one of Kombu's four levels, 0 first."""
    return URGENCIES[min(len(URGENCIES) - 1, int(share * len(URGENCIES)))]


class Ringer:
    """`ring` returns at once. `bell` is None until Redis answers, and again while it does not."""

    def __init__(self, app: Celery, redis_url: str) -> None:
        self._app = app
        self._redis = Redis.from_url(redis_url, socket_timeout=2, socket_connect_timeout=2)
        self._rings: SimpleQueue[Ring] = SimpleQueue()
        self._models: frozenset[str] = frozenset()
        self._waiting_since: dict[bytes, float] = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._loop, name="ringer", daemon=True)
        self.bell: Bell | None = None

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Send no more. What was not sent is rung again by the next leader."""
        self._stop.set()

    def watch(self, models: frozenset[str]) -> None:
        """Look into these models' queues."""
        self._models = models

    def ring(self, rings: Iterable[Ring]) -> None:
        for ring in rings:
            self._rings.put(ring)

    def _loop(self) -> None:
        while not self._stop.is_set():
            asked = time.monotonic()
            batch = self._take()
            try:
                self._publish(batch)
                if len(batch) < _BATCH and (self.bell is None or asked - self.bell.at > _LOOK_EVERY):
                    self.bell = self._look(asked)
            except Exception as error:
                if not isinstance(error, RedisError | KombuError | OSError):
                    log.exception("ringing failed")  # nobody expected it; what was to be sent is rung again
                if self.bell is not None or batch:
                    log.warning("Redis does not answer (%s); %d messages wait for it", error, len(batch))
                self.bell = None
                time.sleep(0.5)
        self._redis.close()
        self._app.close()

    def _take(self) -> list[Ring]:
        """What there is to send now; after a quarter of a second without any, nothing."""
        try:
            batch = [self._rings.get(timeout=0.25)]
        except Empty:
            return []
        while not self._rings.empty() and len(batch) < _BATCH:
            batch.append(self._rings.get())
        return batch

    def _publish(self, batch: list[Ring]) -> None:
        if not batch:
            return
        with self._app.producer_pool.acquire(block=True, timeout=5) as producer:
            for ring in batch:
                self._app.send_task(
                    TASK_NAME,
                    args=(str(ring.job_id), ring.chunk_no),
                    queue=queue_name(ring.model),
                    priority=ring.urgency,
                    producer=producer,
                    retry=False,
                )

    def _look(self, asked: float) -> Bell:
        """Read the window: it is a few messages a slot, whatever the jobs' sizes."""
        keys = [key for model in sorted(self._models) for key in queue_keys(model)]
        pipe = self._redis.pipeline(transaction=False)
        for key in keys:
            pipe.lrange(key, 0, -1)
        lists: dict[str, list[bytes]] = dict(zip(keys, pipe.execute(), strict=True))
        self._promote(lists, asked)
        found = (chunk_of(raw) for messages in lists.values() for raw in messages)
        return Bell(frozenset(chunk for chunk in found if chunk is not None), asked)

    def _promote(self, lists: dict[str, list[bytes]], now: float) -> None:
        """Move what has waited for long to the end of its most urgent queue, one message a look."""
        before, self._waiting_since = self._waiting_since, {}
        for model in self._models:
            first, *others = queue_keys(model)
            passed = [(key, raw) for key in others for raw in lists.get(key, [])]
            self._waiting_since |= {raw: before.get(raw, now) for _, raw in passed}
            overdue = [(key, raw) for key, raw in passed if now - self._waiting_since[raw] > _PROMOTE_AFTER]
            for key, raw in overdue[:1]:
                if self._redis.lrem(key, 1, raw):  # type: ignore[arg-type]
                    self._redis.lpush(first, raw)  # lost in between, it is rung again
