"""Prefix → items on the real S3 server: paging, globs, resuming, limits, and what ends the job."""

import pytest
from sqlalchemy import Engine, insert, text, update

from db.statements.tenants import change_tenant
from db.states import JobState
from db.tables import items, tenants
from tests.conftest import Bucket
from tests.jobs import chunk_rows, job_row, submit
from tests.workers.dispatcher.prefixes import listed, step, submit_prefix
from workers.dispatcher.ingest import listing
from workers.dispatcher.ingest.prefix import PrefixSource
from workers.dispatcher.ingest.source import ingesting_jobs
from workers.dispatcher.ingest.store import ingest_page, put_off
from workers.dispatcher.settings import Settings
from workers.storage.client import s3_client


@pytest.fixture
def pages_of_seven(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listing, "PAGE_KEYS", 7)


@pytest.mark.usefixtures("pages_of_seven")
def test_pages_are_listed_step_by_step(engine: Engine, settings: Settings, bucket: Bucket) -> None:
    expected = [bucket.put(f"p/{i:03}.jpg", b"x") for i in range(23)]
    bucket.put("q/other.jpg", b"x")
    job = submit_prefix(engine, f"s3://{bucket.name}/p/")
    steps = 1
    while step(engine, settings):
        steps += 1
        assert job_row(engine, job).state == JobState.INGESTING
    assert steps == 4 and listed(engine, job) == expected
    row = job_row(engine, job)
    assert (row.state, row.n_items, row.ingest_pages) == (JobState.PENDING, 23, 4)
    assert [(c.lo, c.hi) for c in chunk_rows(engine, job)][-1] == (22, 23)


def test_a_prefix_that_the_tenant_may_not_use_any_more(engine: Engine, settings: Settings, bucket: Bucket) -> None:
    bucket.put("p/a.jpg", b"x")
    job = submit_prefix(engine, f"s3://{bucket.name}/p/")
    with engine.begin() as connection:
        connection.execute(*change_tenant("default", {"places": [f"s3://{bucket.name}/q/"]}))
    step(engine, settings)
    row = job_row(engine, job)
    assert (row.state, row.error_reason, row.n_items) == (JobState.FAILED, "BUCKET_NOT_ALLOWED", 0)


def test_a_glob_chooses_and_the_rest_is_counted(engine: Engine, settings: Settings, bucket: Bucket) -> None:
    for key in ("p/a.jpg", "p/b.png", "p/deep/c.JPG", "p/deep/er/d.jpg"):
        bucket.put(key, b"x")
    job = submit_prefix(engine, f"s3://{bucket.name}/p/", "**/*.jpg")
    step(engine, settings)
    assert [uri.rsplit("/p/", 1)[1] for uri in listed(engine, job)] == ["a.jpg", "deep/c.JPG", "deep/er/d.jpg"]
    assert job_row(engine, job).n_passed_over == 1


def test_without_a_glob_only_visible_images_are_taken(engine: Engine, settings: Settings, bucket: Bucket) -> None:
    for name in (".DS_Store", "Thumbs.db", "read me.txt", ".hidden/a.jpg", "A.JPG", "b/c.tiff"):
        bucket.put(f".p/{name}", b"x")
    job = submit_prefix(engine, f"s3://{bucket.name}/.p/")
    everything = submit_prefix(engine, f"s3://{bucket.name}/.p/", "**")
    step(engine, settings)
    assert [uri.rsplit("/.p/", 1)[1] for uri in listed(engine, job)] == ["A.JPG", "b/c.tiff"]
    assert job_row(engine, job).n_passed_over == 4
    assert len(listed(engine, everything)) == 6 and job_row(engine, everything).n_passed_over == 0


def test_nothing_taken_says_how_many_keys_were_passed_over(engine: Engine, settings: Settings, bucket: Bucket) -> None:
    bucket.put("p/a.txt", b"x")
    job = submit_prefix(engine, f"s3://{bucket.name}/p/")
    step(engine, settings)
    row = job_row(engine, job)
    assert (row.state, row.error_reason, row.n_passed_over) == (JobState.FAILED, "INPUT_EMPTY", 1)
    assert row.error_detail == f"no key under s3://{bucket.name}/p/ matches the default filter; 1 were passed over"


@pytest.mark.parametrize(
    ("prefix", "glob", "reason"),
    [
        ("s3://{bucket}/nothing-here/", None, "INPUT_EMPTY"),
        ("s3://somebody-elses/p/", None, "BUCKET_NOT_ALLOWED"),
        # Stored before globs were checked at submit.
        ("s3://{bucket}/p/", "[z-a].jpg", "INPUT_UNREADABLE"),
        ("s3://{bucket}/p/", "[!]", "INPUT_UNREADABLE"),
    ],
)
def test_what_can_not_be_listed_fails_the_job(
    engine: Engine, settings: Settings, bucket: Bucket, prefix: str, glob: str | None, reason: str
) -> None:
    job = submit_prefix(engine, prefix.format(bucket=bucket.name), glob)
    step(engine, settings)
    row = job_row(engine, job)
    assert (row.state, row.error_reason) == (JobState.FAILED, reason)


def test_a_bucket_that_does_not_exist_fails_the_job(engine: Engine, settings: Settings) -> None:
    job = submit_prefix(engine, "s3://no-such-bucket-here/p/")
    step(engine, settings.model_copy(update={"buckets": ("*",)}))
    row = job_row(engine, job)
    assert (row.state, row.error_reason) == (JobState.FAILED, "INPUT_UNREADABLE")


@pytest.mark.usefixtures("pages_of_seven")
def test_two_leaders_listing_the_same_page_store_it_once(engine: Engine, settings: Settings, bucket: Bucket) -> None:
    expected = [bucket.put(f"p/{i:02}.jpg", b"x") for i in range(20)]
    job = submit_prefix(engine, f"s3://{bucket.name}/p/")
    s3 = s3_client(settings)
    while late := ingesting_jobs(engine):
        step(engine, settings, s3)
        assert ingest_page(engine, PrefixSource(s3, settings, late[0]), settings, late[0]) is False
    assert listed(engine, job) == expected
    with engine.connect() as connection:
        assert connection.execute(text("SELECT count(*) FROM chunks")).scalar_one() == 20


def test_a_late_failure_of_a_former_leader_ends_nothing(engine: Engine, settings: Settings, bucket: Bucket) -> None:
    bucket.put("p/a.jpg", b"x")
    job = submit_prefix(engine, f"s3://{bucket.name}/p/")
    (late,) = ingesting_jobs(engine)
    step(engine, settings)
    put_off(engine, settings, late, listing.no_progress("is late"))
    assert (job_row(engine, job).state, job_row(engine, job).waiting_for) == (JobState.PENDING, None)


@pytest.mark.usefixtures("pages_of_seven")
def test_what_an_older_release_has_begun_is_begun_again(engine: Engine, settings: Settings, bucket: Bucket) -> None:
    expected = [bucket.put(f"p/{i:02}.jpg", b"x") for i in range(20)]
    job = submit_prefix(engine, f"s3://{bucket.name}/p/", n_items=7, ingest_cursor="p/06.jpg")
    with engine.begin() as connection:
        rows = [{"job_id": job, "index": i, "custom_id": str(i), "image": uri} for i, uri in enumerate(expected[:7])]
        connection.execute(insert(items), rows)
    while step(engine, settings):
        pass
    assert listed(engine, job) == expected and job_row(engine, job).state == JobState.PENDING


@pytest.mark.usefixtures("pages_of_seven")
@pytest.mark.parametrize(
    ("limit", "open_before", "fits"), [(20, 0, True), (19, 0, False), (25, 5, True), (24, 5, False)]
)
def test_open_items_are_counted_as_pages_come_in(
    engine: Engine, settings: Settings, bucket: Bucket, limit: int, open_before: int, fits: bool
) -> None:
    for i in range(20):
        bucket.put(f"p/{i:02}.jpg", b"x")
    if open_before:
        submit(engine, [f"s3://{bucket.name}/p/00.jpg"] * open_before)
    job = submit_prefix(engine, f"s3://{bucket.name}/p/")
    limited = settings.model_copy(update={"max_open_items": limit})
    while step(engine, limited):
        assert job_row(engine, job).n_items + open_before <= limit
    row = job_row(engine, job)
    expected = (JobState.PENDING, None) if fits else (JobState.FAILED, "TOO_MANY_OPEN_ITEMS")
    assert (row.state, row.error_reason) == expected


@pytest.mark.usefixtures("pages_of_seven")
def test_the_limits_of_the_tenant_and_of_everybody_hold_too(engine: Engine, settings: Settings, bucket: Bucket) -> None:
    for i in range(20):
        bucket.put(f"p/{i:02}.jpg", b"x")
    with engine.begin() as connection:
        connection.execute(update(tenants).where(tenants.c.id == "default").values(max_open_items=10))
    of_tenant = submit_prefix(engine, f"s3://{bucket.name}/p/")
    while step(engine, settings):
        pass
    with engine.begin() as connection:
        connection.execute(update(tenants).where(tenants.c.id == "default").values(max_open_items=None))
    of_all = submit_prefix(engine, f"s3://{bucket.name}/p/")
    while step(engine, settings.model_copy(update={"max_open_items_total": 19})):
        pass
    reasons = [job_row(engine, job).error_reason for job in (of_tenant, of_all)]
    assert reasons == ["TOO_MANY_OPEN_ITEMS", "TOO_MANY_OPEN_ITEMS"]


def test_two_listings_of_a_tenant_share_its_limit(engine: Engine, settings: Settings, bucket: Bucket) -> None:
    for i in range(6):
        bucket.put(f"p/{i}.jpg", b"x")
    jobs_of_tenant = [submit_prefix(engine, f"s3://{bucket.name}/p/") for _ in range(2)]
    step(engine, settings.model_copy(update={"max_open_items": 11}))
    assert [job_row(engine, job).error_reason for job in jobs_of_tenant] == [None, "TOO_MANY_OPEN_ITEMS"]
