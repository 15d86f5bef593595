"""A chunk from claim to end, in one process on real stores: results, counts, failures, resume, give-back."""

import threading
import time
from collections.abc import Callable

import pytest
from pycocotools import mask as coco
from sqlalchemy import Engine, text, update

from db.statements.tenants import change_tenant
from db.states import ChunkState, JobState
from db.tables import chunks
from tests.conftest import Bucket
from tests.jobs import check_invariants, chunk_rows, job_row, picture, result_rows, submit
from workers.chunks.chunk import End
from workers.chunks.lease import claim
from workers.dispatcher.reaper import reap_leases
from workers.worker import Worker

Start = Callable[..., Worker]


def test_a_job_of_one_chunk_succeeds(engine: Engine, bucket: Bucket, start_worker: Start) -> None:
    job = submit(engine, [bucket.put(f"{i}.jpg", picture(24, 40, seed=i)) for i in range(5)])
    assert start_worker().segment_chunk(job, 0) is End.DONE
    row = job_row(engine, job)
    assert row.state == JobState.SUCCEEDED and row.started_at <= row.ended_at
    rows = result_rows(engine, job)
    assert [(r.index, r.height, r.width, r.orientation, r.model) for r in rows] == [
        (i, 24, 40, 1, "null") for i in range(5)
    ]
    assert {"queue", "fetch", "decode", "encode", "mask", "rle"} <= set(rows[0].timings_ms)
    check_invariants(engine, job)


def test_the_view_masks_gives_each_mask_its_counts(engine: Engine, bucket: Bucket, start_worker: Start) -> None:
    job = submit(engine, [bucket.put("a.png", picture(24, 40, kind="PNG"))])
    start_worker().segment_chunk(job, 0)
    with engine.connect() as connection:
        rows = connection.execute(text("SELECT * FROM masks WHERE job_id = :job ORDER BY mask_id"), {"job": job}).all()
    assert len(rows) == 4
    for row in rows:
        rle = {"size": [row.height, row.width], "counts": row.counts}
        assert coco.area(rle) == row.area and list(coco.toBbox(rle)) == [row.x, row.y, row.w, row.h]


def test_a_place_taken_from_the_tenants_list_is_not_read(engine: Engine, bucket: Bucket, start_worker: Start) -> None:
    job = submit(engine, [bucket.put("mine/a.jpg", picture(24, 40)), bucket.put("theirs/a.jpg", picture(24, 40))])
    with engine.begin() as connection:
        connection.execute(*change_tenant("default", {"places": [f"s3://{bucket.name}/mine/"]}))
    assert start_worker().segment_chunk(job, 0) is End.DONE
    assert start_worker().segment_chunk(job, 1) in (End.DONE, None)
    assert [row.reason for row in result_rows(engine, job)] == [None, "BUCKET_NOT_ALLOWED"]


def test_bad_items_fail_alone(engine: Engine, bucket: Bucket, start_worker: Start) -> None:
    good = picture(20, 20)
    images = [
        bucket.put("good.jpg", good),
        f"s3://{bucket.name}/missing.jpg",
        bucket.put("text.jpg", b"this is no image"),
        bucket.put("empty.jpg", b""),
        bucket.put("cut.jpg", picture(64, 64)[:900]),
        bucket.put("big.png", picture(200, 200, kind="PNG")),
        "s3://somebody-elses/a.jpg",
        bucket.put("one.png", picture(1, 1, kind="PNG")),
    ]
    job = submit(engine, images)
    worker = start_worker(max_image_pixels=30_000)
    assert worker.segment_chunk(job, 0) is End.DONE
    reasons = [row.reason for row in result_rows(engine, job)]
    assert reasons == [
        None,
        "OBJECT_NOT_FOUND",
        "UNSUPPORTED_FORMAT",
        "UNSUPPORTED_FORMAT",
        "DECODE_FAILED",
        "IMAGE_TOO_LARGE",
        "BUCKET_NOT_ALLOWED",
        None,
    ]
    assert job_row(engine, job).state == JobState.PARTIALLY_SUCCEEDED
    check_invariants(engine, job)


def test_a_prompt_outside_its_image_fails_its_item(engine: Engine, bucket: Bucket, start_worker: Start) -> None:
    image = bucket.put("a.jpg", picture(20, 30))
    inside, outside = ([{"id": "p", "points": [[x, 5]], "labels": [1]}] for x in (29, 31))
    job = submit(engine, [image, image], task={"type": "prompted"}, prompts=[inside, outside])
    start_worker().segment_chunk(job, 0)
    assert [row.reason for row in result_rows(engine, job)] == [None, "PROMPT_OUT_OF_BOUNDS"]


def test_prompts_of_the_job_are_for_items_without_their_own(
    engine: Engine, bucket: Bucket, start_worker: Start
) -> None:
    image = bucket.put("a.jpg", picture(20, 30))
    own, shared = ([{"id": name, "points": [[5, 5]], "labels": [1]}] for name in ("own", "shared"))
    job = submit(engine, [image] * 3, task={"type": "prompted"}, prompts=[None, own, None], shared_prompts=shared)
    start_worker().segment_chunk(job, 0)
    with engine.connect() as connection:
        query = text("SELECT DISTINCT index, prompt FROM masks WHERE job_id = :job ORDER BY index")
        assert [tuple(row) for row in connection.execute(query, {"job": job})] == [
            (0, "shared"), (1, "own"), (2, "shared"),
        ]  # fmt: skip


def test_only_bad_items_fail_the_job(engine: Engine, bucket: Bucket, start_worker: Start) -> None:
    job = submit(engine, [f"s3://{bucket.name}/no.jpg"])
    start_worker().segment_chunk(job, 0)
    assert job_row(engine, job).state == JobState.FAILED
    check_invariants(engine, job)


def test_a_claimed_chunk_is_not_claimed_again(engine: Engine, bucket: Bucket, start_worker: Start) -> None:
    job = submit(engine, [bucket.put("a.jpg", picture())])
    assert claim(engine, job, 0, "somebody", 30) is not None
    assert start_worker().segment_chunk(job, 0) is None
    assert claim(engine, job, 7, "somebody", 30) is None


def test_a_lost_fence_writes_nothing(engine: Engine, bucket: Bucket, start_worker: Start) -> None:
    job = submit(engine, [bucket.put("a.jpg", picture())])
    ends: list[object] = []
    worker = start_worker(null_delay=0.5)
    thread = threading.Thread(target=lambda: ends.append(worker.segment_chunk(job, 0)))
    thread.start()
    time.sleep(0.25)
    with engine.begin() as connection:
        connection.execute(update(chunks).values(fence=chunks.c.fence + 1))
    thread.join()
    assert ends == [End.LOST] and result_rows(engine, job) == []


def test_a_second_claim_resumes_behind_the_first(engine: Engine, bucket: Bucket, start_worker: Start) -> None:
    job = submit(engine, [bucket.put("a.jpg", picture())] * 30, size=30)
    worker = start_worker(null_delay=0.05, chunk_seconds=0.3)
    assert worker.segment_chunk(job, 0) is End.GIVEN_BACK
    first = {row.index for row in result_rows(engine, job)}
    chunk = chunk_rows(engine, job)[0]
    assert 0 < len(first) < 30 and chunk.state == ChunkState.READY and chunk.attempts == 0 and chunk.inflight == []
    while worker.segment_chunk(job, 0) is not End.DONE:
        pass
    assert job_row(engine, job).state == JobState.SUCCEEDED
    check_invariants(engine, job)


def test_stopping_gives_the_lease_back_uncharged(engine: Engine, bucket: Bucket, start_worker: Start) -> None:
    job = submit(engine, [bucket.put(f"{i}.jpg", picture(seed=i)) for i in range(12)])
    worker = start_worker(null_delay=0.3)
    threading.Timer(0.5, worker.stopping.set).start()
    started = time.monotonic()
    assert worker.segment_chunk(job, 0) is End.GIVEN_BACK
    assert time.monotonic() - started < 2.5
    chunk = chunk_rows(engine, job)[0]
    assert (chunk.state, chunk.attempts, chunk.inflight, chunk.worker) == (ChunkState.READY, 0, [], None)


def test_a_long_chunk_is_kept_by_its_heartbeat(engine: Engine, bucket: Bucket, start_worker: Start) -> None:
    job = submit(engine, [bucket.put("a.jpg", picture())])
    worker = start_worker(null_delay=3.0, lease_seconds=1)
    ends: list[object] = []
    thread = threading.Thread(target=lambda: ends.append(worker.segment_chunk(job, 0)))
    thread.start()
    while thread.is_alive():
        assert reap_leases(engine) == 0
        time.sleep(0.1)
    assert ends == [End.DONE]
    check_invariants(engine, job)


def test_suspects_run_alone_and_bystanders_succeed(engine: Engine, bucket: Bucket, start_worker: Start) -> None:
    job = submit(engine, [bucket.put(f"{i}.jpg", picture(seed=i)) for i in range(4)])
    held = claim(engine, job, 0, "dies", 0.1)
    assert held is not None
    with engine.begin() as connection:
        connection.execute(update(chunks).values(inflight=[1, 2]))
    time.sleep(0.3)
    assert reap_leases(engine) == 1
    chunk = chunk_rows(engine, job)[0]
    assert (chunk.state, chunk.stalls, chunk.attempts, chunk.fence) == (ChunkState.READY, 1, 1, 2)
    time.sleep(0.5)
    assert start_worker().segment_chunk(job, 0) is End.DONE
    with engine.connect() as connection:
        assert connection.execute(text("SELECT count(*) FROM suspects")).scalar_one() == 0
    check_invariants(engine, job)


def test_three_deaths_alone_fail_the_image_only(engine: Engine, bucket: Bucket, start_worker: Start) -> None:
    job = submit(engine, [bucket.put(f"{i}.jpg", picture(seed=i)) for i in range(3)])
    for _ in range(3):
        with engine.begin() as connection:
            connection.execute(update(chunks).values(run_after=None))
        assert claim(engine, job, 0, "dies", 0.05) is not None
        with engine.begin() as connection:
            connection.execute(update(chunks).values(inflight=[1], alone=True))
        time.sleep(0.1)
        assert reap_leases(engine) == 1
    with engine.begin() as connection:
        connection.execute(update(chunks).values(run_after=None))
    assert start_worker().segment_chunk(job, 0) is End.DONE
    assert [row.reason for row in result_rows(engine, job)] == [None, "WORKER_LOST", None]
    assert job_row(engine, job).state == JobState.PARTIALLY_SUCCEEDED
    check_invariants(engine, job)


def test_a_chunk_without_progress_is_buried(engine: Engine, bucket: Bucket) -> None:
    job = submit(engine, [bucket.put(f"{i}.jpg", picture(seed=i)) for i in range(2)])
    for _ in range(8):
        with engine.begin() as connection:
            connection.execute(update(chunks).values(run_after=None))
        assert claim(engine, job, 0, "dies", 0.02) is not None
        time.sleep(0.05)
        reap_leases(engine)
    assert chunk_rows(engine, job)[0].state == ChunkState.DEAD
    assert [row.reason for row in result_rows(engine, job)] == ["WORKER_LOST"] * 2


@pytest.mark.parametrize("workers", [2])
def test_the_last_chunks_end_together_and_the_job_ends_once(
    engine: Engine, bucket: Bucket, start_worker: Start, workers: int
) -> None:
    image = bucket.put("a.jpg", picture())
    worker = start_worker()
    for _ in range(10):
        job = submit(engine, [image] * workers, size=1)
        barrier = threading.Barrier(workers)

        def work(chunk: int, job: object = job, barrier: threading.Barrier = barrier) -> None:
            barrier.wait()
            worker.segment_chunk(job, chunk)  # type: ignore[arg-type]

        threads = [threading.Thread(target=work, args=(n,)) for n in range(workers)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert job_row(engine, job).state == JobState.SUCCEEDED
        check_invariants(engine, job)
