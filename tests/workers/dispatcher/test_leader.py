"""An error that nobody expected, in each step of the leader and for one job: that job ends, and another is done."""

import logging
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from uuid import UUID

import pytest
from sqlalchemy import Engine, text

from tests.conftest import Bucket
from tests.jobs import job_row, picture, submit
from tests.workers.refusals import refuse, wait_ended
from workers.chunks.lease import claim
from workers.dispatcher.liveness import EXIT_STALLED

Prepare = Callable[[Engine, UUID], None]


def sql(statement: str) -> Prepare:
    def prepare(engine: Engine, job: UUID) -> None:
        with engine.begin() as connection:
            connection.execute(text(statement), {"job": job})

    return prepare


def expired_lease(engine: Engine, job: UUID) -> None:
    assert claim(engine, job, 0, "dies", 0.01) is not None


def all_chunks_done(engine: Engine, job: UUID) -> None:
    expired_lease(engine, job)
    ended = "UPDATE chunks SET state = 'done', n_err = hi - lo, worker = NULL, lease_until = NULL WHERE job_id = :job"
    sql(ended)(engine, job)


message_lost = sql("UPDATE chunks SET state = 'dispatched', dispatched_at = '2020-01-01' WHERE job_id = :job")
deadline_passed = sql("UPDATE jobs SET deadline = '2020-01-01' WHERE id = :job")


def nothing(_engine: Engine, _job: UUID) -> None:
    """The job is as it was submitted."""


def submit_two(engine: Engine, bucket: Bucket, prepare: Prepare) -> tuple[UUID, UUID]:
    """The job that fails, prepared, and another."""
    images = [bucket.put("a.jpg", picture())] * 20
    bad = submit(engine, images, size=1)
    prepare(engine, bad)
    return bad, submit(engine, images, size=5)


@pytest.mark.usefixtures("slot")
@pytest.mark.parametrize(
    ("point", "prepare"),
    [
        ("reaping", expired_lease),
        ("stopping", deadline_passed),
        ("finishing", all_chunks_done),
        ("filling", nothing),
        ("announcing", message_lost),
    ],
)
def test_an_error_for_one_job_ends_that_job(
    engine: Engine, bucket: Bucket, lead: Callable[..., None], point: str, prepare: Prepare
) -> None:
    bad, other = submit_two(engine, bucket, prepare)
    lead(crash_at=f"{point}:{bad}")
    row = wait_ended(engine, bad)
    assert (row.state, row.error_reason) == ("failed", "INTERNAL") and "Injected" in row.error_detail
    assert wait_ended(engine, other).state == "succeeded"


@pytest.mark.usefixtures("slot")
@pytest.mark.parametrize(
    ("table", "when", "prepare", "code"),
    [
        ("chunks", "OLD.state = 'leased' AND NEW.state = 'ready'", expired_lease, "23514"),
        ("jobs", "NEW.state = 'expired'", deadline_passed, "P0001"),
        ("jobs", "NEW.state = 'failed' AND NEW.error_reason IS NULL", all_chunks_done, "P0001"),
        ("chunks", "OLD.state = 'ready' AND NEW.state = 'dispatched'", nothing, "22003"),
        ("chunks", "OLD.state = 'dispatched' AND NEW.state = 'dispatched'", message_lost, "54000"),
    ],
)
def test_a_row_that_the_database_refuses_ends_its_job(
    engine: Engine, bucket: Bucket, lead: Callable[..., None], table: str, when: str, prepare: Prepare, code: str
) -> None:
    bad, other = submit_two(engine, bucket, prepare)
    refuse(engine, table, when, bad, code)
    lead()
    row = wait_ended(engine, bad)
    assert (row.state, row.error_reason) == ("failed", "INTERNAL")
    assert wait_ended(engine, other).state == "succeeded"


@pytest.mark.usefixtures("slot")
def test_a_job_that_cannot_be_tallied_leaves_the_others_to_be(
    engine: Engine, bucket: Bucket, lead: Callable[..., None]
) -> None:
    bad, other = submit_two(engine, bucket, nothing)
    refuse(engine, "chunks", "NEW.tallied", bad, "22003")
    lead()
    assert [wait_ended(engine, job).state for job in (bad, other)] == ["succeeded"] * 2
    tallied = text("SELECT bool_and(tallied) FROM chunks WHERE job_id = :job")
    until = time.monotonic() + 20
    while True:
        with engine.connect() as connection:
            if connection.execute(tallied, {"job": other}).scalar_one():
                return
        assert time.monotonic() < until
        time.sleep(0.1)


@pytest.mark.usefixtures("slot")
def test_a_busy_row_is_nobodys_fault(engine: Engine, bucket: Bucket, lead: Callable[..., None]) -> None:
    """A deadlock, again and again, is tried again for as long as it lasts: the job is not stopped for it."""
    bad, other = submit_two(engine, bucket, nothing)
    refuse(engine, "chunks", "OLD.state = 'ready' AND NEW.state = 'dispatched'", bad, "40P01")
    lead()
    assert wait_ended(engine, other).state == "succeeded"
    time.sleep(3)
    assert job_row(engine, bad).ended_at is None
    with engine.begin() as connection:
        connection.exec_driver_sql("DROP TRIGGER refuse_it ON chunks")
    assert wait_ended(engine, bad).state == "succeeded"


@pytest.mark.usefixtures("slot")
def test_steps_that_always_fail_leave_the_others_and_the_log_readable(
    engine: Engine, bucket: Bucket, lead: Callable[..., None], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    with engine.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE tallies RENAME TO tallies_of_another_release")
    job = submit(engine, [bucket.put("a.jpg", picture())] * 20, size=1)
    lead()
    assert wait_ended(engine, job).state == "succeeded"
    time.sleep(2)
    said = [record.getMessage() for record in caplog.records if "failed" in record.getMessage()]
    assert any(line.startswith("stopping jobs failed") for line in said)
    assert any(line.startswith("tallying at once failed") for line in said)
    assert any(line.startswith("measuring what is left failed") for line in said)
    assert len(said) <= 5, said


def test_a_loop_that_stands_still_ends_its_process(tmp_path: Path) -> None:
    code = (
        "import time; from pathlib import Path; from workers.dispatcher.liveness import Beat\n"
        f"beat = Beat(Path({str(tmp_path)!r}), 0.4); beat.start()\n"
        "for _ in range(10): beat.touch(); time.sleep(0.1)\n"
        "print('alive', flush=True); time.sleep(60)"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=50, check=False)
    assert (ended.returncode, ended.stdout) == (EXIT_STALLED, "alive\n")


@pytest.mark.parametrize("standby", [False, True])
def test_leader_and_standby_touch_the_file_of_the_probe(
    engine: Engine, lead: Callable[..., None], tmp_path: Path, standby: bool
) -> None:
    if standby:
        with engine.begin() as connection:
            connection.exec_driver_sql(
                "INSERT INTO leader VALUES ('dispatcher', 'another', 1, clock_timestamp() + interval '1 hour')"
            )
    lead(health_dir=tmp_path / "health")
    file, touched = tmp_path / "health" / "dispatcher-loop", set[float]()
    until = time.monotonic() + 20
    while len(touched) < 5:
        assert time.monotonic() < until
        time.sleep(0.05)
        if file.exists():
            touched.add(file.stat().st_mtime)
