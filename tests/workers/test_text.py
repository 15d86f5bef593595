"""A worker that serves text, with a small random network, and one whose model takes no exemplars."""

from collections.abc import Callable
from pathlib import Path

from sqlalchemy import Engine

from db.statements import register
from tests.conftest import Bucket
from tests.jobs import picture, result_rows, submit
from tests.model.words.networks import grounding_dino
from workers.chunks.chunk import End
from workers.worker import Worker

Start = Callable[..., Worker]
TASK = {"type": "text", "phrases": ["a cat", "red car"], "box_threshold": 0.001, "max_masks": 2}
EXEMPLAR = {"phrase": "a cat", "box": [1, 2, 30, 31]}


def test_phrases_become_masks(engine: Engine, bucket: Bucket, start_worker: Start, tmp_path: Path) -> None:
    worker = start_worker(models=("sam_tiny",), text=str(grounding_dino(tmp_path)))
    assert {"sam_tiny", "sam_tiny.text"} <= set(worker.settings.queues)
    images = [bucket.put("a.jpg", picture(60, 80, seed=1)), bucket.put("b.jpg", picture(40, 40, seed=2))]
    job = submit(engine, images, model="sam_tiny", task=TASK, prompts=[None, [EXEMPLAR]])
    with engine.connect() as connection:
        (live,) = connection.execute(*register.live_workers("default")).all()
    assert live.tasks == ["auto", "prompted", "text"]
    assert worker.segment_chunk(job, 0) is End.DONE
    first, second = result_rows(engine, job)
    assert set(first.phrases) <= {"a cat", "red car"} and 1 <= len(first.phrases) <= 4
    assert len(first.scores) == len(first.phrases) and all(0 < score <= 1 for score in first.scores)
    assert first.model_revision.startswith(live.model_revision + "+")
    assert (second.reason, second.retryable) == ("TASK_NOT_SERVED", False)
