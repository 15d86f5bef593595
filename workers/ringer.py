"""The doorbell: publishes chunk ids to Redis from a thread of its own, so that a frozen Redis blocks nothing else.

A message that could not be sent is dropped: its row stays `dispatched` and is rung again.
"""

import logging
import threading
import time
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from uuid import UUID

from celery import Celery
from kombu.exceptions import KombuError
from redis import Redis
from redis.exceptions import RedisError

from db.states import TASK_NAME, queue_name

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Ring:
    """One message to send: ids only, for the queue of the workers that have `model` loaded."""

    model: str
    job_id: UUID
    chunk_no: int


@dataclass(frozen=True)
class Bell:
    """What Redis held when it last answered: which run of Redis, how many messages (waiting or reserved), and when."""

    run_id: str
    messages: int
    at: float


class Ringer:
    """`ring` returns at once. `bell` is None until Redis answers, and again while it does not."""

    def __init__(self, app: Celery, redis_url: str) -> None:
        self._app = app
        self._redis = Redis.from_url(redis_url, socket_timeout=2, socket_connect_timeout=2)
        self._rings: SimpleQueue[Ring] = SimpleQueue()
        self._models: frozenset[str] = frozenset()
        self._thread = threading.Thread(target=self._loop, name="ringer", daemon=True)
        self.bell: Bell | None = None

    def start(self) -> None:
        self._thread.start()

    def watch(self, models: frozenset[str]) -> None:
        """Count the messages of these models' queues."""
        self._models = models

    def ring(self, rings: list[Ring]) -> None:
        for ring in rings:
            self._rings.put(ring)

    def idle(self) -> bool:
        return self._rings.empty()

    def _loop(self) -> None:
        while True:
            batch = self._take()
            try:
                self._publish(batch)
                self.bell = self._look()
            except (RedisError, KombuError, OSError) as error:
                if self.bell is not None or batch:
                    log.warning("Redis does not answer (%s); %d messages wait for it", error, len(batch))
                self.bell = None
                time.sleep(0.5)

    def _take(self) -> list[Ring]:
        """What there is to send now; after a quarter of a second without any, nothing."""
        try:
            batch = [self._rings.get(timeout=0.25)]
        except Empty:
            return []
        while not self._rings.empty() and len(batch) < 1000:
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
                    producer=producer,
                    retry=False,
                )

    def _look(self) -> Bell:
        asked = time.monotonic()
        pipe = self._redis.pipeline(transaction=False)
        pipe.info("server")
        pipe.hlen("unacked")
        for model in sorted(self._models):
            pipe.llen(queue_name(model))
        info, *counts = pipe.execute()
        return Bell(run_id=info["run_id"], messages=sum(counts), at=asked)
