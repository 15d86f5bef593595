"""Messages that wait in Redis, taken without Celery: a slot that has finished a chunk takes its next one here.

A message that Celery delivers costs 4 ms of CPU (kombu builds Redis clients and runs two transactions for each). So it
is a doorbell: its slot works off the chunk, then what else waits, in the same order from the same lists. A message
taken here is not acknowledged and need not be: it is a hint, and one lost before its chunk is claimed is rung again.
"""

import logging
import threading
from typing import Final
from uuid import UUID

from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

from workers.broker import queue_keys
from workers.ringer import chunk_of

log = logging.getLogger(__name__)

_LINGER: Final = 0.05
"""The leader may be filling the window just now."""


class Inbox:
    """The lists of this worker's models. Thread-safe; connects when first used."""

    def __init__(self, redis_url: str, models: tuple[str, ...]) -> None:
        # A retried BRPOP would pop twice, and a frozen Redis is Celery's to wait for.
        never = Retry(NoBackoff(), 0)
        self._redis = Redis.from_url(redis_url, socket_timeout=2, socket_connect_timeout=2, retry=never)
        self._models = models
        self._lock = threading.Lock()

    def take(self) -> tuple[UUID, int] | None:
        """The chunk of the most urgent message. None: there is none, or Redis does not answer."""
        try:
            popped = self._redis.brpop(queue_keys(*self._next_models()), timeout=_LINGER)
        except RedisError as error:
            log.warning("Redis does not answer, back to waiting by Celery: %s", error)
            return None
        if popped is None:
            return None
        found = chunk_of(popped[1])  # type: ignore[arg-type]
        if found is None:
            log.error("a message names no chunk: %.200r", popped[1])
        return found

    def close(self) -> None:
        self._redis.close()

    def _next_models(self) -> tuple[str, ...]:
        """Models take turns at being looked at first."""
        with self._lock:
            self._models = (*self._models[1:], self._models[0])
            return self._models
