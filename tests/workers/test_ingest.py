"""Prefix → items on the real S3 server: paging, globs, resuming, and what ends the job."""

import pytest
from sqlalchemy import Engine, insert, text

from db.ids import new_job_id
from db.states import JobState
from db.tables import items, jobs
from tests.conftest import Bucket
from tests.jobs import chunk_rows, job_row
from workers import ingest
from workers.settings import Settings
from workers.storage import s3_client


def submit_prefix(engine: Engine, prefix: str, glob: str | None = None) -> object:
    job_id = new_job_id()
    source = {"prefix": prefix, "glob": glob}
    row = {"id": job_id, "tenant_id": "default", "state": JobState.INGESTING, "model": "null", "input": source}
    with engine.begin() as connection:
        connection.execute(insert(jobs).values(task={"type": "auto"}, **row))
    return job_id


def listed(engine: Engine, job: object) -> list[str]:
    with engine.connect() as connection:
        rows = connection.execute(items.select().where(items.c.job_id == job).order_by(items.c.index)).all()
    assert [row.index for row in rows] == list(range(len(rows)))
    return [row.image for row in rows]


def test_pages_are_listed_step_by_step(
    engine: Engine, settings: Settings, bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ingest, "_PAGE", 7)
    expected = [bucket.put(f"p/{i:03}.jpg", b"x") for i in range(23)]
    bucket.put("q/other.jpg", b"x")
    job = submit_prefix(engine, f"s3://{bucket.name}/p/")
    s3 = s3_client(settings)
    steps = 1
    while ingest.ingest_step(engine, s3, settings):
        steps += 1
        assert job_row(engine, job).state == JobState.INGESTING  # type: ignore[arg-type]
    assert steps == 4 and listed(engine, job) == expected
    row = job_row(engine, job)  # type: ignore[arg-type]
    assert (row.state, row.n_items) == (JobState.PENDING, 23)
    assert [(c.lo, c.hi) for c in chunk_rows(engine, job)][-1] == (22, 23)  # type: ignore[arg-type]


def test_a_glob_chooses(engine: Engine, settings: Settings, bucket: Bucket) -> None:
    for key in ("p/a.jpg", "p/b.png", "p/deep/c.jpg", "p/deep/er/d.jpg", "p/folder/"):
        bucket.put(key, b"x" if not key.endswith("/") else b"")
    job = submit_prefix(engine, f"s3://{bucket.name}/p/", "**/*.jpg")
    ingest.ingest_step(engine, s3_client(settings), settings)
    assert [uri.rsplit("/p/", 1)[1] for uri in listed(engine, job)] == ["a.jpg", "deep/c.jpg", "deep/er/d.jpg"]


@pytest.mark.parametrize(
    ("glob", "yes", "no"),
    [
        ("*.jpg", ["a.jpg"], ["x/a.jpg", "a.jpeg"]),
        ("**", ["a", "x/y/z"], []),
        ("**/*.{jpg,png}", ["a.jpg", "x/b.png"], ["c.gif"]),
        ("img_?[0-9].jpg", ["img_a1.jpg"], ["img_1.jpg", "img_ab.jpg"]),
        ("[!a]*", ["b"], ["a"]),
        ("a+b(c).jpg", ["a+b(c).jpg"], ["aab(c).jpg"]),
    ],
)
def test_globs(glob: str, yes: list[str], no: list[str]) -> None:
    pattern = ingest.glob_pattern(glob)
    assert all(pattern.fullmatch(name) for name in yes)
    assert not any(pattern.fullmatch(name) for name in no)


@pytest.mark.parametrize(
    ("prefix", "reason"),
    [
        ("s3://{bucket}/nothing-here/", "INPUT_EMPTY"),
        ("s3://somebody-elses/p/", "BUCKET_NOT_ALLOWED"),
    ],
)
def test_what_can_not_be_listed_fails_the_job(
    engine: Engine, settings: Settings, bucket: Bucket, prefix: str, reason: str
) -> None:
    job = submit_prefix(engine, prefix.format(bucket=bucket.name))
    ingest.ingest_step(engine, s3_client(settings), settings)
    row = job_row(engine, job)  # type: ignore[arg-type]
    assert (row.state, row.error_reason) == (JobState.FAILED, reason)


def test_a_bucket_that_does_not_exist_fails_the_job(engine: Engine, settings: Settings) -> None:
    open_settings = settings.model_copy(update={"buckets": ("*",)})
    job = submit_prefix(engine, "s3://no-such-bucket-here/p/")
    ingest.ingest_step(engine, s3_client(open_settings), open_settings)
    row = job_row(engine, job)  # type: ignore[arg-type]
    assert (row.state, row.error_reason) == (JobState.FAILED, "INPUT_UNREADABLE")


def test_two_leaders_listing_the_same_page_store_it_once(engine: Engine, settings: Settings, bucket: Bucket) -> None:
    for i in range(5):
        bucket.put(f"p/{i}.jpg", b"x")
    job = submit_prefix(engine, f"s3://{bucket.name}/p/")
    s3 = s3_client(settings)
    listing = ingest.Listing(job, f"s3://{bucket.name}/p/", "**", {"type": "auto"}, 0, None)  # type: ignore[arg-type]
    ingest.ingest_step(engine, s3, settings)
    assert ingest._page(engine, s3, settings, listing) is False
    assert len(listed(engine, job)) == 5
    with engine.connect() as connection:
        assert connection.execute(text("SELECT count(*) FROM chunks")).scalar_one() == 5
