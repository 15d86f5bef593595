"""Counters of what ends: items and jobs. Each process counts what it ends itself."""

from typing import Final

from prometheus_client import Counter

JOBS_ENDED: Final = Counter(
    "maskworks_jobs_ended", "Jobs that this process has ended, by their final state.", ["state"]
)
ITEMS: Final = Counter(
    "maskworks_items",
    "Items that have ended, by outcome (computed, reused, failed) and reason.",
    ["outcome", "reason"],
)
