"""Jobs as they arrive: many small ones, a few huge ones, some with a deadline."""

import random
from dataclasses import dataclass
from typing import Final

HOUR: Final = 3600.0
SECONDS: Final = {"auto": 0.1, "prompted": 0.02}
"""Seconds of a worker for an image, by type of task."""


@dataclass(frozen=True)
class Arrival:
    """A job: when it comes, how large it is, and how long after that it is due."""

    at: float
    images: int
    task: str
    due: float | None

    @property
    def seconds(self) -> float:
        return self.images * SECONDS[self.task]


def workload(images: int, hours: float, seed: int = 0) -> list[Arrival]:
    """Jobs of `images` images in all, in the order in which they come. Quiet and busy times take turns."""
    rng, made, left = random.Random(seed), [], images
    while left > 0:
        n = min(left, int(10 ** (rng.uniform(2, 4) if rng.random() < 0.8 else rng.uniform(4, 6.5))))
        left -= n
        task = "auto" if rng.random() < 0.7 else "prompted"
        # Half of the jobs come in a quarter of the time.
        part = rng.random() * 0.25 + 0.1 if rng.random() < 0.5 else rng.random()
        due = max(1800.0, n * SECONDS[task] / 40) * rng.uniform(1, 3) if rng.random() < 0.1 else None
        made.append(Arrival(part * hours * HOUR, n, task, due))
    return sorted(made, key=lambda job: job.at)
