"""Measure a model on a data set, picture by picture, with progress."""

import hashlib
import sys
import time
from collections.abc import Callable
from typing import Any

from evaluation.data.picture import DataSet
from evaluation.data.table import Place
from evaluation.journal import Journal
from evaluation.task import Record, Subject, Task

QUIET_SECONDS = 5.0  # between two lines of progress


def identity(task: Task, subject: Subject, data: DataSet, place: Place) -> dict[str, Any]:
    """What the records of a run depend on. The computing dtype is part of it, because `fast` differs by machine."""
    s = subject.segmenter
    names = "\n".join(sample.name for sample in data.samples)
    return {
        "task": task.name,
        "parameters": task.parameters(),
        "model": s.name,
        "revision": s.revision_of("text" if task.name == "text" else "prompted"),
        "precision": s.precision,
        "dtype": str(s.sam.dtype).removeprefix("torch."),
        "settings": dict(subject.settings),
        "pictures": f"{len(data.samples)}, {hashlib.sha256(names.encode()).hexdigest()[:12]}",
        "ground truth": str(place.ground_truth or place.images),
        "min share": place.min_share,
    }


def run(
    task: Task, subject: Subject, data: DataSet, journal: Journal, say: Callable[[int, int, float], None]
) -> list[Record]:
    """Measure what the journal does not have yet. Returns the records in the data set's order.

    `say` is told after each picture: how many are done, how many were to do, and the seconds so far.
    """
    waiting = [sample for sample in data.samples if sample.name not in journal.records]
    started = time.monotonic()
    for done, sample in enumerate(waiting, 1):
        journal.add(sample.name, task.measure(subject, sample.read()))
        say(done, len(waiting), time.monotonic() - started)
    return [journal.records[sample.name] for sample in data.samples]


class Progress:
    """A line on stderr, every few seconds and at the end."""

    def __init__(self, title: str) -> None:
        self.title, self.last = title, 0.0

    def __call__(self, done: int, all_: int, seconds: float) -> None:
        if seconds - self.last < QUIET_SECONDS and done < all_:
            return
        self.last = seconds
        left = round(seconds / done * (all_ - done))
        told = f"{done}/{all_} pictures, {seconds / done:.2f} s each, {left // 60}:{left % 60:02} left"
        print(f"{self.title}: {told}", file=sys.stderr, flush=True)
