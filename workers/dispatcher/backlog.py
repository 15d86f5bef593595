"""The leader's figures of what is left: jobs by state, and by model the work, its age, and the workers.

A scrape reads what the leader measured last. So Prometheus asks nothing of the database, however often it comes.
"""

import time
from collections.abc import Iterator
from typing import Final

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector
from sqlalchemy import Engine

from db.statements import scaling

_EVERY: Final = 10.0
_LIVE: Final = 30.0
JOBS: Final = "maskworks_jobs"
WORKERS: Final = "maskworks_workers"
_BY_MODEL: Final = (
    ("maskworks_items_left", "Unfinished items, those in work included.", "items"),
    ("maskworks_work_left_seconds", "Seconds that one worker would need for the unfinished items.", "seconds"),
    ("maskworks_oldest_job_seconds", "Age of the oldest unfinished job.", "oldest_seconds"),
    ("maskworks_wanted_workers", "Workers that the scaling rule asks for.", "wanted_workers"),
)
NAMES: Final = (JOBS, WORKERS, *(name for name, _, _ in _BY_MODEL))


class Backlog(Collector):
    """What was measured last. Only the leader has anything."""

    def __init__(self, single: Engine) -> None:
        self._single = single
        self._measured: list[GaugeMetricFamily] = []
        self._at = 0.0

    def measure(self) -> None:
        """Ask the database, if it was not asked lately."""
        now = time.monotonic()
        if now - self._at < _EVERY and self._measured:
            return
        self._at = now
        jobs = GaugeMetricFamily(JOBS, "Jobs that have not ended, by state.", labels=["state"])
        live = GaugeMetricFamily(WORKERS, "Live workers.", labels=["model"])
        by_model = [(GaugeMetricFamily(name, text, labels=["model"]), column) for name, text, column in _BY_MODEL]
        with self._single.connect() as connection:
            for row in connection.execute(*scaling.unfinished_jobs()):
                jobs.add_metric([row.state], row.n)
            for row in connection.execute(*scaling.live_workers(alive_seconds=_LIVE)):
                live.add_metric([row.model], row.n)
            left = {row.model: row for row in connection.execute(*scaling.work_left())}
            # Zero is said, too: an autoscaler that finds no figure changes nothing.
            for model in {*left, *connection.execute(*scaling.known_models()).scalars()}:
                for family, column in by_model:
                    family.add_metric([model], getattr(left.get(model), column, 0))
        self._measured = [jobs, live, *(family for family, _ in by_model)]

    def forget(self) -> None:
        """This process does not lead. Old figures beside the leader's would be counted twice."""
        self._measured = []

    def collect(self) -> Iterator[GaugeMetricFamily]:
        yield from self._measured
