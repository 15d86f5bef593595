"""What chunks measure: how they end, and how long each stage of an image took."""

from typing import Final

from prometheus_client import Counter, Histogram

from db.counters import ITEMS
from workers.pipeline.ticket import Failed, Result, Reused

CHUNKS: Final = Counter(
    "maskworks_chunks", "Chunks that this worker has let go, by how (done, given back, lost, failed).", ["end"]
)
for _end in ("done", "given back", "lost", "failed"):  # from 0 on, so that Prometheus sees the first
    CHUNKS.labels(_end)
STAGE_SECONDS: Final = Histogram(
    "maskworks_stage_seconds",
    "Seconds of each stage (queue, fetch, decode, encode, mask, rle) of each computed image.",
    ["model", "stage"],
    buckets=(0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 100, 300),
)
STORE_SECONDS: Final = Histogram(
    "maskworks_store_seconds",
    "Seconds of each transaction that writes a batch of results.",
    buckets=(0.003, 0.01, 0.03, 0.1, 0.3, 1, 3, 10),
)


def count_results(model: str, batch: list[Result]) -> None:
    """Count results once they are committed."""
    for one in batch:
        if isinstance(one, Failed):
            ITEMS.labels("failed", one.failure.reason).inc()
            continue
        ITEMS.labels("reused" if isinstance(one, Reused) else "computed", "").inc()
        for stage, ms in one.timings_ms.items() if not isinstance(one, Reused) else ():
            STAGE_SECONDS.labels(model, stage).observe(ms / 1000)
