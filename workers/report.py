"""What a worker reports of itself with each sign of life: its memory, its chunks, and how fast it is."""

import resource
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any, Final

from db.statements.register import Report
from workers.chunks.lease import Claim
from workers.gpu import Gpus

_WINDOW: Final = 120.0
"""Seconds over which images are counted."""


class Throughput:
    """Images a second of the last minutes, from a count that only grows."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._seen: deque[tuple[float, int]] = deque([(clock(), 0)])

    def per_second(self, images: int) -> float:
        """`images`: how many there were so far."""
        now = self._clock()
        self._seen.append((now, images))
        while len(self._seen) > 2 and self._seen[1][0] <= now - _WINDOW:
            self._seen.popleft()
        since, before = self._seen[0]
        return (images - before) / max(now - since, 1.0)


class Reporter:
    """Makes the reports of one process, which computes on one device."""

    def __init__(self, device: str) -> None:
        self._gpus = Gpus() if device.startswith("cuda") else None
        self._gpu = int(device.partition(":")[2] or 0)
        self._throughput = Throughput()

    def report(self, claims: Iterable[Claim], images: int, calls: int) -> Report:
        now = time.monotonic()
        own = Report(
            rss_bytes=rss_bytes(),
            images_per_second=self._throughput.per_second(images),
            calls=calls,
            work=[_work(claim, now) for claim in claims],
        )
        gpu = None if self._gpus is None else self._gpus.memory(self._gpu)
        if gpu is None:
            return own
        return replace(own, gpu_name=gpu.name, gpu_used_bytes=gpu.used, gpu_total_bytes=gpu.total)


def _work(claim: Claim, now: float) -> dict[str, Any]:
    fence = claim.fence
    return {"job_id": str(fence.job_id), "chunk_no": fence.chunk_no, "seconds": round(now - claim.began, 3)}


def rss_bytes() -> int:
    """The resident set now, not its peak."""
    with open("/proc/self/statm") as statm:  # noqa: PTH123  read once a tick, in one call
        return int(statm.read().split()[1]) * resource.getpagesize()
