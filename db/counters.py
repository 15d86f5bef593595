"""Counters of what ends: items and jobs. Each process counts what it ends itself.

Each series begins at 0. Prometheus does not see the growth of a counter that it first reads as 1.
"""

from typing import Final

from prometheus_client import Counter

from db.states import FINAL_JOB_STATES, ItemReason

JOBS_ENDED: Final = Counter(
    "maskworks_jobs_ended", "Jobs that this process has ended, by their final state.", ["state"]
)
ITEMS: Final = Counter(
    "maskworks_items",
    "Items that have ended, by outcome (computed, reused, failed) and reason.",
    ["outcome", "reason"],
)
for _state in FINAL_JOB_STATES:
    JOBS_ENDED.labels(_state)
for _series in (("computed", ""), ("reused", ""), *(("failed", reason) for reason in ItemReason)):
    ITEMS.labels(*_series)
