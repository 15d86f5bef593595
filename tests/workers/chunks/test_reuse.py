"""Jobs that take over results of earlier jobs, in one process on real stores."""

from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import Engine, create_engine, delete, insert, text

from db.states import Depth, JobState
from db.tables import jobs, results, tenants
from intake.fingerprint import Model, fingerprint
from model.spec import TASK, Automatic
from tests.conftest import Bucket
from tests.jobs import check_invariants, chunk_rows, job_row, picture, result_rows, submit
from workers.chunks.chunk import End
from workers.chunks.earlier import EarlierResults
from workers.pipeline.ticket import Earlier
from workers.worker import Worker

Start = Callable[..., Worker]
MASKS = "SELECT * FROM masks WHERE job_id = :job ORDER BY index, mask_id"
POINT = [{"id": "p", "points": [[5, 5]], "labels": [1]}]


@pytest.fixture
def images(bucket: Bucket) -> list[str]:
    return [bucket.put(f"{i}.jpg", picture(24, 40, seed=i)) for i in range(5)]


def work(worker: Worker, engine: Engine, images: list[str], **columns: Any) -> UUID:
    job = submit(engine, images, **columns)
    while worker.segment_chunk(job, 0) is not End.DONE:
        pass
    check_invariants(engine, job)
    return job


def reused(engine: Engine, job: UUID) -> list[tuple[UUID, int] | None]:
    return [None if r.reused_job is None else (r.reused_job, r.reused_index) for r in result_rows(engine, job)]


def masks(engine: Engine, job: UUID) -> list[tuple[Any, ...]]:
    with engine.connect() as connection:
        return [tuple(row)[1:] for row in connection.execute(text(MASKS), {"job": job})]


def test_a_second_job_computes_only_what_is_new(
    engine: Engine, bucket: Bucket, start_worker: Start, images: list[str]
) -> None:
    worker = start_worker()
    first = work(worker, engine, images)
    changed = bucket.put("2.jpg", picture(30, 30, seed=9))
    new = bucket.put("new.jpg", picture(30, 30))
    second = work(worker, engine, [*images, new], reuse=True)
    assert reused(engine, second) == [(first, 0), (first, 1), None, (first, 3), (first, 4), None], changed
    rows, before = result_rows(engine, second), result_rows(engine, first)
    for i in (0, 1, 3, 4):
        assert (rows[i].rle, rows[i].height, rows[i].model_revision) == (before[i].rle, 24, before[i].model_revision)
        assert set(rows[i].timings_ms) == {"queue", "fetch"} and rows[i].attempt == 1
    assert "decode" in rows[2].timings_ms and rows[2].height == 30
    of_first = [mask for mask in masks(engine, first) if mask[0] != 2]
    assert [mask for mask in masks(engine, second) if mask[0] not in (2, 5)] == of_first
    assert (chunk_rows(engine, second)[0].n_ok, job_row(engine, second).state) == (6, JobState.SUCCEEDED)


def test_a_copy_names_what_was_computed_and_outlives_it(engine: Engine, start_worker: Start, images: list[str]) -> None:
    worker = start_worker()
    first = work(worker, engine, images)
    second = work(worker, engine, images, reuse=True)
    third = work(worker, engine, images, reuse=True)
    assert reused(engine, second) == reused(engine, third) == [(first, i) for i in range(5)]
    with engine.begin() as connection:
        for job in (first, third):
            connection.execute(delete(results).where(results.c.job_id == job))
            connection.execute(delete(jobs).where(jobs.c.id == job))
    fourth = work(worker, engine, images, reuse=True)
    assert reused(engine, fourth) == [(first, i) for i in range(5)]
    assert masks(engine, fourth) == masks(engine, second)


@pytest.mark.parametrize(
    "other",
    [
        {"reuse": False},
        {"tenant_id": "another"},
        {"task": {"type": "auto", "points_per_side": 3}},
        {"input": {"items": 1, "depth": "full_range"}},
        {"task": {"type": "prompted"}, "shared_prompts": POINT},
    ],
    ids=str,
)
def test_what_differs_is_computed(
    engine: Engine, start_worker: Start, images: list[str], other: dict[str, Any]
) -> None:
    worker = start_worker()
    with engine.begin() as connection:
        connection.execute(insert(tenants).values(id="another"))
    work(worker, engine, images[:1])
    second = work(worker, engine, images[:1], **({"reuse": True} | other))
    assert reused(engine, second) == [None]


def test_prompts_and_box_format_are_part_of_it(engine: Engine, start_worker: Start, images: list[str]) -> None:
    worker = start_worker()
    image, box = images[:1], [{"id": "b", "box": [2, 3, 9, 9]}]
    first = work(worker, engine, image, task={"type": "prompted"}, prompts=[box])
    same = work(worker, engine, image, task={"type": "prompted", "box_format": "xyxy"}, shared_prompts=box, reuse=True)
    assert reused(engine, same) == [(first, 0)] and masks(engine, same) == masks(engine, first)
    for task, prompts in (
        ({"type": "prompted", "box_format": "xywh"}, box),
        ({"type": "prompted"}, [{"id": "b", "box": [2, 3, 9, 8]}]),
        ({"type": "prompted"}, [{"id": "c", "box": [2, 3, 9, 9]}]),
    ):
        other = work(worker, engine, image, task=task, prompts=[prompts], reuse=True)
        assert reused(engine, other) == [None], (task, prompts)


def test_failures_are_not_taken_over(engine: Engine, bucket: Bucket, start_worker: Start) -> None:
    worker = start_worker()
    broken = [bucket.put("broken.jpg", b"no image"), f"s3://{bucket.name}/missing.jpg", "s3://elsewhere/a.jpg"]
    work(worker, engine, broken)
    second = work(worker, engine, broken, reuse=True)
    assert reused(engine, second) == [None] * 3
    assert [row.reason for row in result_rows(engine, second)] == [
        "UNSUPPORTED_FORMAT", "OBJECT_NOT_FOUND", "BUCKET_NOT_ALLOWED",
    ]  # fmt: skip


def test_an_earlier_result_that_is_deleted_meanwhile(
    engine: Engine, start_worker: Start, images: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The item has no result from the first claim, and is computed by the next."""
    worker = start_worker()
    first = work(worker, engine, images)
    find = EarlierResults.find

    def found_and_gone(self: EarlierResults, tenant: str, wanted: bytes) -> Earlier | None:
        found = find(self, tenant, wanted)
        if found is not None and found.index == 3:
            with engine.begin() as connection:
                connection.execute(delete(results).where(results.c.job_id == first, results.c.index == 3))
        return found

    monkeypatch.setattr(EarlierResults, "find", found_and_gone)
    second = work(worker, engine, images, reuse=True)
    assert reused(engine, second) == [(first, 0), (first, 1), (first, 2), None, (first, 4)]
    assert (chunk_rows(engine, second)[0].fence, chunk_rows(engine, second)[0].attempts) == (3, 1)


def test_a_result_is_found_for_its_tenant_alone(engine: Engine, start_worker: Start, images: list[str]) -> None:
    """Also where somebody else knows the fingerprint."""
    job = work(start_worker(), engine, images[:1])
    (row,) = result_rows(engine, job)
    earlier = EarlierResults(engine)
    assert earlier.find("default", row.fingerprint) == Earlier(job, 0)
    assert earlier.find("another", row.fingerprint) is None


def test_a_database_that_is_away_finds_nothing() -> None:
    nowhere = create_engine("postgresql+psycopg://nobody@127.0.0.1:1/none")
    assert EarlierResults(nowhere).find("default", b"x" * 16) is None


def test_each_part_makes_another_fingerprint() -> None:
    model, fast, newer = Model("null", "1", "exact"), Model("null", "1", "fast"), Model("null", "2", "exact")
    same: dict[str, Any] = {"tenant": "t", "image": "s3://bucket/a", "model": model, "task": Automatic()}
    same |= {"depth": Depth.AUTO, "bands": None}
    changes: list[dict[str, Any]] = [
        {}, {"tenant": "u"}, {"image": "s3://bucket/b"}, {"image": "s3://other/a"}, {"depth": Depth.PERCENTILES},
        {"bands": (4, 3, 2)},
        {"task": Automatic(max_masks=3)}, {"model": fast}, {"model": newer},
        {"task": TASK.validate_python({"type": "prompted", "prompts": POINT})},
        {"task": TASK.validate_python({"type": "prompted", "prompts": [{"mask": {"size": [2, 2], "counts": "4"}}]})},
    ]  # fmt: skip
    made = [fingerprint("etag 1", **(same | change)) for change in changes] + [fingerprint("etag 2", **same)]
    assert len(set(made)) == len(made) and {len(one) for one in made} == {16}
    assert fingerprint("etag 1", **(same | {"image": "s3://bucket/a?versionId=7"})) == made[0]
    signed = [f"https://images.example.com/a?id={i}&X-Amz-Signature={s}" for i, s in ((1, "a"), (1, "b"), (2, "a"))]
    first, again, other = [fingerprint("etag 1", **(same | {"image": image})) for image in signed]
    assert first == again != other
