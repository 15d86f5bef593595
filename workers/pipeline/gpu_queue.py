"""The queue before the GPU: batches of one model, interactive images before bulk ones, chunks in turn."""

import threading

from workers.pipeline.fair_queue import FairQueue
from workers.pipeline.ticket import Ticket


class GpuQueue:
    """Admission and the limit on decoded images limit what is in it. Several threads may take from it."""

    def __init__(self) -> None:
        self._filled = threading.Event()
        self._interactive = FairQueue()
        self._bulk = FairQueue()

    def put(self, ticket: Ticket) -> None:
        (self._interactive if ticket.interactive else self._bulk).put(ticket)
        self._filled.set()

    def take(self, timeout: float) -> list[Ticket]:
        """The next batch: images of one model, up to its best batch size. Empty after `timeout` seconds.

        A batch of interactive images has no others, which would make it take longer. On a CPU a window is computed by
        itself. A batch would gain next to nothing, and a crash would cost all of it.
        """
        if not self._filled.wait(timeout):
            return []
        self._filled.clear()  # cleared before looking, so that a later ticket sets it again
        queue = self._interactive if self._interactive.head() is not None else self._bulk
        first = queue.head()
        if first is None:
            return []
        batch: list[Ticket] = []
        while len(batch) < _most(first) and (ticket := queue.pop_of(first.model)) is not None:
            batch.append(ticket)
        self._filled.set()  # there may be more
        return batch


def _most(first: Ticket) -> int:
    return 1 if first.region is not None and first.model.device == "cpu" else first.model.batch_images
