"""An unexpected error in each stage of a worker, for one job: its items or it end, and another job is done."""

import io
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sqlalchemy import Engine, text

from tests.conftest import Bucket
from tests.jobs import check_invariants, chunk_rows, picture, result_rows, submit
from tests.workers.refusals import refuse, wait_ended
from workers.chunks.chunk import End
from workers.failures import failure_of
from workers.testing.poison import MARK
from workers.worker import Worker

Start = Callable[..., Worker]
Lead = Callable[..., None]


def reasons(engine: Engine, job: object) -> Counter[str]:
    return Counter(row.reason or "ok" for row in result_rows(engine, job))  # type: ignore[arg-type]


@pytest.mark.usefixtures("slot")
@pytest.mark.parametrize(
    "point", ["claimed", "admitting", "fetching", "decoding", "computing", "encoding", "packing", "writing"]
)
def test_an_error_in_a_stage_fails_the_items_of_its_job(engine: Engine, bucket: Bucket, lead: Lead, point: str) -> None:
    images = [bucket.put("a.jpg", picture())] * 12
    bad, other = (submit(engine, images, size=6) for _ in range(2))
    lead(crash_at=f"{point}:{bad}")
    assert wait_ended(engine, bad).state == "failed"
    assert reasons(engine, bad) == {"INTERNAL": 12}
    assert all("Injected" in row.detail for row in result_rows(engine, bad))
    assert wait_ended(engine, other).state == "succeeded"
    for job in (bad, other):
        check_invariants(engine, job)


@pytest.mark.usefixtures("slot")
def test_a_job_that_cannot_be_claimed_is_stopped(engine: Engine, bucket: Bucket, lead: Lead) -> None:
    images = [bucket.put("a.jpg", picture())] * 6
    bad, other = (submit(engine, images, size=6) for _ in range(2))
    lead(crash_at=f"claiming:{bad}")
    row = wait_ended(engine, bad)
    assert (row.state, row.error_reason) == ("failed", "INTERNAL") and "Injected" in row.error_detail
    assert wait_ended(engine, other).state == "succeeded"


@pytest.mark.usefixtures("slot")
@pytest.mark.parametrize("point", ["renewing", "done"])
def test_an_error_that_others_make_good_costs_nothing(engine: Engine, bucket: Bucket, lead: Lead, point: str) -> None:
    """The leader finishes a job that its last worker did not; a batch that is written renews a lease as well."""
    images = [bucket.put("a.jpg", picture())] * 12
    bad, other = (submit(engine, images, size=6) for _ in range(2))
    lead(crash_at=f"{point}:{bad}")
    assert [wait_ended(engine, job).state for job in (bad, other)] == ["succeeded"] * 2


@pytest.mark.parametrize(("code", "state"), [("22003", "succeeded"), ("54000", "succeeded"), ("23514", "succeeded")])
def test_a_result_that_is_refused_fails_alone(
    engine: Engine, bucket: Bucket, start_worker: Start, code: str, state: str
) -> None:
    job = submit(engine, [bucket.put("a.jpg", picture())] * 12, size=12)
    refuse(engine, "results", f"NEW.index = 3 AND NEW.state = '{state}'", job, code, "INSERT")
    assert start_worker().segment_chunk(job, 0) is End.DONE
    assert reasons(engine, job) == {"ok": 11, "INTERNAL": 1}
    assert result_rows(engine, job)[3].reason == "INTERNAL"
    check_invariants(engine, job)


@pytest.mark.usefixtures("slot")
def test_a_job_of_which_no_result_can_be_written_is_stopped(engine: Engine, bucket: Bucket, lead: Lead) -> None:
    images = [bucket.put("a.jpg", picture())] * 6
    bad, other = (submit(engine, images, size=6) for _ in range(2))
    refuse(engine, "results", "NEW.index = 3", bad, "22003", "INSERT")
    lead()
    row = wait_ended(engine, bad)
    assert (row.state, row.error_reason) == ("failed", "INTERNAL")
    # A result beside the refused one may still be on its way when the last try ends the job.
    kept = result_rows(engine, bad)
    assert {row.reason for row in kept} == {None} and 3 not in {row.index for row in kept}
    assert wait_ended(engine, other).state == "succeeded"


def test_a_busy_database_charges_nobody(engine: Engine, bucket: Bucket, start_worker: Start) -> None:
    job = submit(engine, [bucket.put("a.jpg", picture())] * 3, size=3)
    refuse(engine, "results", "true", job, "40P01", "INSERT")
    assert start_worker().segment_chunk(job, 0) is End.GIVEN_BACK
    (chunk,) = chunk_rows(engine, job)
    assert (chunk.state, chunk.stalls, chunk.attempts) == ("ready", 0, 0)


@pytest.mark.parametrize(
    ("poison", "reason"), [(b"mem", "OUT_OF_MEMORY"), (b"big", "GPU_OUT_OF_MEMORY"), (b"pan", "INTERNAL")]
)
def test_what_an_image_may_raise(
    engine: Engine, bucket: Bucket, start_worker: Start, tmp_path: Path, poison: bytes, reason: str
) -> None:
    plain = bucket.put("a.jpg", picture())
    job = submit(engine, [plain, bucket.put("b.png", poisoned(poison)), plain], size=3)
    worker = start_worker(null_poison=tmp_path)
    assert worker.segment_chunk(job, 0) is End.DONE
    assert [row.reason for row in result_rows(engine, job)] == [None, reason, None]
    assert result_rows(engine, job)[1].retryable
    again = submit(engine, [plain] * 20, size=20)  # every thread and slot of the pipeline is still there
    assert worker.segment_chunk(again, 0) is End.DONE
    check_invariants(engine, again)


def test_items_that_no_front_door_let_in(engine: Engine, bucket: Bucket, start_worker: Start) -> None:
    """Rows written by other hands. They leave the gate as well: afterwards a suspect gets the pipeline to itself."""
    image = bucket.put("a.jpg", picture())
    odd = [{"id": 5}, 5, [[[]]], [{"id": "p", "points": [[1, 1]], "labels": [1]}]]
    job = submit(engine, [image] * 4, task={"type": "prompted"}, prompts=odd, size=4)
    worker = start_worker(chunk_seconds=10)
    assert worker.segment_chunk(job, 0) is End.DONE
    assert [row.reason for row in result_rows(engine, job)] == ["INVALID_MANIFEST_LINE"] * 3 + [None]
    again = submit(engine, [image])
    with engine.begin() as connection:
        connection.execute(text("INSERT INTO suspects (job_id, index) VALUES (:job, 0)"), {"job": again})
    assert worker.segment_chunk(again, 0) is End.DONE


@pytest.mark.parametrize("message", ["a\x00b", "half a pair: \ud800", "x" * 10_000])
def test_what_an_error_says_can_be_stored(engine: Engine, message: str) -> None:
    failure = failure_of(ValueError(message))
    with engine.connect() as connection:
        assert connection.execute(text("SELECT CAST(:a AS text)"), {"a": failure.detail}).scalar_one() == failure.detail


def poisoned(poison: bytes) -> bytes:
    pixels = np.zeros((16, 16, 3), dtype=np.uint8)
    pixels[0, :2] = list(MARK), list(poison)
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, format="PNG")
    return out.getvalue()
