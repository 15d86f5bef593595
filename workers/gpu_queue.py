"""The two-level queue before the GPU: interactive images first, then bulk, batched by model."""

import threading
from collections import deque

from workers.ticket import Ticket


class GpuQueue:
    """Unbounded itself: admission and the decoded-image slots bound what can be in it."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._interactive: deque[Ticket] = deque()
        self._bulk: deque[Ticket] = deque()

    def put(self, ticket: Ticket) -> None:
        with self._changed:
            (self._interactive if ticket.interactive else self._bulk).append(ticket)
            self._changed.notify()

    def take(self, timeout: float) -> list[Ticket]:
        """The next batch: images of one model, as many as it does best with. Empty after `timeout` seconds."""
        with self._changed:
            if not (self._interactive or self._bulk):
                self._changed.wait(timeout)
            first = self._interactive or self._bulk
            if not first:
                return []
            model = first[0].model
            batch: list[Ticket] = []
            for queue in (self._interactive, self._bulk):
                while queue and queue[0].model is model and len(batch) < model.batch_images:
                    batch.append(queue.popleft())
            return batch
