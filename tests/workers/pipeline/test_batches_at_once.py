"""Several batches at a time on a CPU: they do overlap, and their masks are those of one batch after the other."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from queue import SimpleQueue

import numpy as np
import pytest

from model.backends.null import NullPrepared, NullSegmenter
from model.backends.sam import Segmenter
from model.spec import Automatic
from tests.conftest import Bucket
from tests.jobs import picture
from workers.pipeline.pipeline import Pipeline
from workers.pipeline.ticket import Done, Outcome, Ticket
from workers.settings import Settings
from workers.storage.client import s3_client

PLENTY = 60.0


class Meeting(NullSegmenter):
    """A batch is done once another one is computed beside it."""

    def __init__(self, parties: int) -> None:
        super().__init__()
        self.batch_images = 1
        self.met = threading.Barrier(parties)

    def core(self, batch: list[NullPrepared]) -> list[NullPrepared]:
        self.met.wait(PLENTY)
        return super().core(batch)


@pytest.fixture
def outcomes() -> SimpleQueue[Outcome]:
    return SimpleQueue()


def start(
    settings: Settings, bucket: Bucket, model: NullSegmenter, sink: SimpleQueue[Outcome], at_once: int
) -> Pipeline:
    """A running pipeline that has been given one picture for each batch."""
    pipeline = Pipeline(settings, s3_client(settings), 1, at_once)
    pipeline.start()
    uri = bucket.put("a.png", picture(24, 40, kind="PNG"))
    assert pipeline.gate.enter(at_once, lambda: False)
    for i in range(at_once):
        pipeline.submit(Ticket(i, uri, Automatic(), model, sink, threading.Event()))
    return pipeline


def test_two_batches_are_computed_at_once(settings: Settings, bucket: Bucket, outcomes: SimpleQueue[Outcome]) -> None:
    pipeline = start(settings, bucket, Meeting(2), outcomes, 2)
    found = [outcomes.get(timeout=PLENTY) for _ in range(2)]
    assert all(isinstance(one, Done) for one in found), found
    pipeline.stop()


def test_the_oldest_batch_counts_for_the_watchdog(
    settings: Settings, bucket: Bucket, outcomes: SimpleQueue[Outcome]
) -> None:
    """Two batches wait for a third that never comes: the pipeline is busy for as long as the older one."""
    model = Meeting(3)
    pipeline = start(settings, bucket, model, outcomes, 2)
    deadline = time.monotonic() + PLENTY
    while pipeline.busy_for() < 0.2 and time.monotonic() < deadline:
        time.sleep(0.01)
    assert pipeline.busy_for() >= 0.2
    model.met.abort()
    assert all(not isinstance(outcomes.get(timeout=PLENTY), Done) for _ in range(2))
    pipeline.stop()


def test_masks_are_those_of_one_batch_after_the_other() -> None:
    segmenter = Segmenter.seeded("sam_tiny")
    random = np.random.default_rng(0)
    images = [random.integers(0, 255, (48, 64, 3), dtype=np.uint8) for _ in range(6)]
    task = Automatic(points_per_side=4, pred_iou_thresh=0.0, stability_score_thresh=0.0)
    prepared = [segmenter.pre(image, task) for image in images]
    expected = [segmenter.post(segmenter.core([one])[0]) for one in prepared]
    assert any(expected)
    fresh = Segmenter.seeded("sam_tiny")
    with ThreadPoolExecutor(3) as threads:
        found = list(threads.map(lambda one: fresh.post(fresh.core([one])[0]), prepared))
    assert found == expected
