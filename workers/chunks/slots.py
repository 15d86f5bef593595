"""Celery's slots. A chunk that waits only for slow objects leaves its slot to the next chunk.

Each chunk runs in a thread of its own, and the slot waits for it. A chunk steps aside once everything that it has in
flight is slow (`workers.pipeline.fetching`): the slot is free, and the chunk goes on under its lease. At most
`_MOST_ASIDE` chunks are aside at a time.
"""

import logging
import threading
from collections.abc import Callable
from typing import Final
from uuid import UUID

log = logging.getLogger(__name__)

_MOST_ASIDE: Final = 16

StepAside = Callable[[], None]
"""Called by a chunk's own thread whenever it has only slow objects in flight."""


class Slots:
    """`segment` works off one chunk. If it raises, the error is logged and the chunk's lease runs out."""

    def __init__(self, segment: Callable[[UUID, int, StepAside], object]) -> None:
        self._segment = segment
        self._lock = threading.Lock()
        self._aside: set[threading.Thread] = set()

    def serve(self, job_id: UUID, chunk_no: int) -> None:
        """Return once the chunk has ended or stepped aside."""
        free = threading.Event()
        threading.Thread(target=self._run, args=(job_id, chunk_no, free), name="chunk", daemon=True).start()
        free.wait()

    def _run(self, job_id: UUID, chunk_no: int, free: threading.Event) -> None:
        try:
            self._segment(job_id, chunk_no, lambda: self._step_aside(free))
        except Exception:
            log.exception("chunk %s/%d ended with an error that nobody expected", job_id, chunk_no)
        finally:
            with self._lock:
                self._aside.discard(threading.current_thread())
            free.set()

    def _step_aside(self, free: threading.Event) -> None:
        with self._lock:
            if free.is_set() or len(self._aside) >= _MOST_ASIDE:
                return
            self._aside.add(threading.current_thread())
        free.set()
