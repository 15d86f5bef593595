"""What a worker reports of itself."""

import threading
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import Engine, text

from db.statements.register import live_workers
from tests.conftest import Bucket
from tests.jobs import picture, submit
from tests.waiting import wait_for
from workers.report import Throughput, rss_bytes
from workers.worker import Worker


def test_the_register_says_what_a_worker_does(
    engine: Engine, bucket: Bucket, start_worker: Callable[..., Worker]
) -> None:
    """The chunk takes until it has been seen: then it is taken away."""
    worker = start_worker(null_delay=0.3)
    job = submit(engine, [bucket.put("a.jpg", picture())] * 400, size=400)

    def seen(tenant: str = "default") -> Any:
        with engine.connect() as connection:
            return connection.execute(*live_workers(tenant)).one()

    before = seen()
    assert (before.chunks, before.calls, before.own_work, before.images_per_second) == (0, 0, None, 0)
    working = threading.Thread(target=worker.segment_chunk, args=(job, 0))
    working.start()
    wait_for(lambda: seen().chunks == 1)
    found = seen()
    (chunk,) = found.own_work
    assert (chunk["job_id"], chunk["chunk_no"]) == (str(job), 0) and 0 <= chunk["seconds"] < 60
    assert (other := seen("another tenant")).own_work is None and other.chunks == 1
    assert abs(found.rss_bytes - rss_bytes()) < 2**30 and found.gpu_name is None
    wait_for(lambda: seen().images_per_second > 0)
    with engine.begin() as connection:
        connection.execute(text("UPDATE chunks SET fence = fence + 1"))
    working.join()
    wait_for(lambda: seen().chunks == 0)


def test_throughput_is_that_of_the_last_minutes() -> None:
    at = 0.0
    throughput = Throughput(lambda: at)
    rates = []
    for at, images in ((0.1, 0), (10.0, 20), (100.0, 20), (140.0, 20), (200.0, 60), (1000.0, 60)):  # noqa: B007
        rates.append(throughput.per_second(images))
    assert rates == pytest.approx([0, 2, 0.2, 0, 40 / 190, 0])
