"""Seconds of a worker for an item, by a clock that the test moves."""

from collections.abc import Callable
from contextlib import ExitStack

from sqlalchemy import Engine, text

from tests.conftest import Bucket
from tests.jobs import picture, submit
from workers.chunks.paces import Paces, Run
from workers.worker import Worker


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def seconds(paces: Paces) -> dict[str, tuple[float, float]]:
    return {pace.task: (pace.items, pace.seconds) for pace in paces.changed()}


def test_chunks_side_by_side_share_the_time() -> None:
    clock = Clock()
    paces = Paces("w", clock)

    def begin(task: str) -> tuple[ExitStack, Run]:
        stack = ExitStack()
        return stack, stack.enter_context(paces.run("null", task))

    first, one = begin("auto")
    clock.now += 4
    second, two = begin("prompted")
    clock.now += 6
    one.items = 10
    first.close()
    clock.now += 1
    two.items = 8
    second.close()
    clock.now += 1000  # idle
    assert seconds(paces) == {"auto": (10, 4 + 3), "prompted": (8, 3 + 1)}
    assert paces.changed() == []
    with paces.run("null", "auto"):
        clock.now += 5  # nothing was computed
    assert paces.changed() == []


def test_older_measures_count_less() -> None:
    clock = Clock()
    paces = Paces("w", clock)
    for items in (100, 10):
        with paces.run("null", "auto") as run:
            clock.now += 450
            run.items = items
    assert seconds(paces) == {"auto": (60, 675)}


def test_a_worker_leaves_its_pace_behind(engine: Engine, bucket: Bucket, start_worker: Callable[..., Worker]) -> None:
    """What it took over from earlier results does not count."""
    worker, images = start_worker(null_delay=0.05), [bucket.put("a.jpg", picture())] * 4
    worker.segment_chunk(submit(engine, images, size=4), 0)
    worker.segment_chunk(submit(engine, images, size=4, reuse=True), 0)
    worker.stop()
    with engine.connect() as connection:
        (pace,) = connection.execute(text("SELECT worker, model, task, items, seconds FROM paces"))
    assert pace[:3] == (worker.id, "null", "auto")
    assert pace.items == 4 and pace.seconds > 0.05
