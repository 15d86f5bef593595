"""Send messages to Redis from a thread of its own, so that a frozen Redis blocks nothing else.

A message that could not be sent is dropped. Its chunk stays `dispatched`, and `lost_messages` sends it again.
"""

import logging
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from uuid import UUID

from redis import Redis
from redis.exceptions import RedisError

from workers.broker import URGENCIES, Chunk, chunk_of, list_name, list_names, message
from workers.dispatcher.metrics import MESSAGES, REDIS_FAILURES

log = logging.getLogger(__name__)

_LOOK_EVERY = 0.5
_BATCH = 1000
_PROMOTE_AFTER = 30.0
"""Seconds. A message that others were let past for this long joins the most urgent list, so that none starves."""


@dataclass(frozen=True)
class Message:
    """Announces one chunk to the workers of a queue. Urgency 0 goes first."""

    queue: str
    job_id: UUID
    chunk_no: int
    urgency: int = 0


@dataclass(frozen=True)
class Waiting:
    """The chunks whose messages waited in Redis at `asked` (monotonic clock), in `queues`.

    Messages handed over before `asked` were sent.
    """

    queues: frozenset[str]
    chunks: frozenset[Chunk]
    asked: float


def urgency(share: float) -> int:
    """The urgency of a job's message. A job with a small share of the images in work comes first."""
    return URGENCIES[min(len(URGENCIES) - 1, int(share * len(URGENCIES)))]


class Sender:
    """`send` returns at once. `waiting` is None until Redis answers, and again while it does not."""

    def __init__(self, redis_url: str) -> None:
        self._redis = Redis.from_url(redis_url, socket_timeout=2, socket_connect_timeout=2)
        self._messages: SimpleQueue[Message] = SimpleQueue()
        self._queues: frozenset[str] = frozenset()
        self._waiting_since: dict[bytes, float] = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._loop, name="sender", daemon=True)
        self.waiting: Waiting | None = None

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Send no more. The next leader sends the rest."""
        self._stop.set()

    def watch(self, queues: frozenset[str]) -> None:
        """Look into these queues."""
        self._queues = queues

    def send(self, messages: Iterable[Message]) -> None:
        for each in messages:
            self._messages.put(each)

    def _loop(self) -> None:
        while not self._stop.is_set():
            asked = time.monotonic()
            batch = self._take()
            try:
                self._push(batch)
                if len(batch) < _BATCH and (self.waiting is None or asked - self.waiting.asked > _LOOK_EVERY):
                    self.waiting = self._look(asked)
            except Exception as error:
                REDIS_FAILURES.inc()
                if not isinstance(error, RedisError | OSError):
                    log.exception("sending failed")  # unexpected; the messages are sent again
                if self.waiting is not None or batch:
                    log.warning("Redis does not answer (%s); %d messages wait for it", error, len(batch))
                self.waiting = None
                time.sleep(0.5)
        self._redis.close()

    def _take(self) -> list[Message]:
        """The messages to send now, or none after a quarter of a second."""
        try:
            batch = [self._messages.get(timeout=0.25)]
        except Empty:
            return []
        while not self._messages.empty() and len(batch) < _BATCH:
            batch.append(self._messages.get())
        return batch

    def _push(self, batch: list[Message]) -> None:
        """Push the messages in one round trip. Workers pop from the right."""
        if not batch:
            return
        pipe = self._redis.pipeline(transaction=False)
        for each in batch:
            pipe.lpush(list_name(each.queue, each.urgency), message(each.job_id, each.chunk_no))
        pipe.execute()
        MESSAGES.inc(len(batch))

    def _look(self, asked: float) -> Waiting:
        """Read every message that waits. There are a few for each slot, whatever the size of the jobs."""
        queues = self._queues
        names = [name for queue in sorted(queues) for name in list_names(queue)]
        pipe = self._redis.pipeline(transaction=False)
        for name in names:
            pipe.lrange(name, 0, -1)
        lists: dict[str, list[bytes]] = dict(zip(names, pipe.execute(), strict=True))
        self._promote(lists, asked)
        found = (chunk_of(raw) for messages in lists.values() for raw in messages)
        return Waiting(queues, frozenset(chunk for chunk in found if chunk is not None), asked)

    def _promote(self, lists: dict[str, list[bytes]], now: float) -> None:
        """Move a message that has waited for long to the end of the most urgent list, one at each look."""
        before, self._waiting_since = self._waiting_since, {}
        for queue in self._queues:
            first, *others = list_names(queue)
            passed = [(name, raw) for name in others for raw in lists.get(name, [])]
            self._waiting_since |= {raw: before.get(raw, now) for _, raw in passed}
            overdue = [(name, raw) for name, raw in passed if now - self._waiting_since[raw] > _PROMOTE_AFTER]
            for name, raw in overdue[:1]:
                if self._redis.lrem(name, 1, raw):  # type: ignore[arg-type]
                    self._redis.lpush(first, raw)  # if it is lost in between, it is sent again
