"""The leader samples how far running jobs are."""

import time
from collections.abc import Callable

from sqlalchemy import Engine, text

from tests.jobs import submit
from workers.chunks.lease import claim

SAMPLED = text("SELECT finished FROM progress_samples WHERE job_id = :job")


def test_a_running_job_is_sampled_and_a_waiting_one_is_not(engine: Engine, lead: Callable[..., None]) -> None:
    running, waiting = submit(engine, ["s3://b/a"] * 4), submit(engine, ["s3://b/a"])
    assert claim(engine, running, 0, "w", 60) is not None
    lead()
    until = time.monotonic() + 20
    while True:
        with engine.connect() as connection:
            found = connection.execute(SAMPLED, {"job": running}).scalar_one_or_none()
            assert connection.execute(SAMPLED, {"job": waiting}).scalar_one_or_none() is None
        if found == [0]:
            return
        assert time.monotonic() < until
        time.sleep(0.05)
