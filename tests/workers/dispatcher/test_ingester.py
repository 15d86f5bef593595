"""Listings beside each other in the leader: what hurts one job ends that job, and the others go on."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from sqlalchemy import Engine, text, update

from db.states import JobState, WaitReason
from db.tables import jobs
from tests.jobs import job_row
from tests.waiting import wait_for
from tests.workers.dispatcher.prefixes import listed, submit_prefix
from tests.workers.odd_store import Answer, listing, odd_store
from workers.dispatcher.ingest import ingester
from workers.dispatcher.ingest.ingester import Ingester
from workers.dispatcher.settings import Settings
from workers.storage.client import s3_client
from workers.testing import crash_points


@contextmanager
def listing_all(engine: Engine, settings: Settings) -> Iterator[None]:
    """An ingester that is asked as the leader asks it."""
    lister = Ingester(engine, s3_client(settings), settings, lambda: True)
    lister.start()
    done = threading.Event()

    def ask() -> None:
        while not done.wait(0.05):
            lister.ask()

    asking = threading.Thread(target=ask)
    asking.start()
    try:
        yield
    finally:
        done.set()
        asking.join()
        lister.stop()


@pytest.fixture(autouse=True)
def _no_page_is_left(engine: Engine) -> Iterator[None]:
    """The engine is disposed of after this."""
    assert engine
    yield
    for thread in threading.enumerate():
        if thread.name == "ingest-page":
            thread.join()


def ended(engine: Engine, job: object) -> Callable[[], bool]:
    return lambda: job_row(engine, job).state != JobState.INGESTING  # type: ignore[arg-type]


def two_pages(query: dict[str, str]) -> Answer:
    n = 2 if "continuation-token" in query else 0
    return listing([f"{query['prefix']}{n}.jpg", f"{query['prefix']}{n + 1}.jpg"], None if n else "second")


@pytest.fixture(autouse=True)
def _hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ingester, "_BACKOFF_CAP", 0.05)


def with_store(settings: Settings, url: str, **changes: object) -> Settings:
    return settings.model_copy(update={"s3_endpoint_url": url, "buckets": ("*",)} | changes)


def test_an_unexpected_error_ends_its_job_alone_after_a_few_tries(engine: Engine, settings: Settings) -> None:
    hurt = submit_prefix(engine, "", input={"no": "prefix"})
    too_many = submit_prefix(engine, "s3://b/p/", n_items=2**31 - 1, ingest_pages=1)  # Postgres refuses one more
    good = submit_prefix(engine, "s3://b/p/")
    unlimited = {"max_open_items": 2**40, "max_open_items_total": 2**40}
    with odd_store(two_pages) as store, listing_all(engine, with_store(settings, store.url, **unlimited)):
        for job in (hurt, too_many, good):
            wait_for(ended(engine, job))
    for job in (hurt, too_many):
        row = job_row(engine, job)
        assert (row.state, row.error_reason) == (JobState.FAILED, "INTERNAL")
        assert (
            "3 tries" in row.error_detail
            and "UPDATE" not in row.error_detail
            and row.waiting_for == WaitReason.INTERNAL
        )
    assert len(listed(engine, good)) == 4 and job_row(engine, good).state == JobState.PENDING


@pytest.mark.parametrize("point", ["listing", "listed"])
def test_an_error_injected_into_a_listing_ends_that_job_alone(engine: Engine, settings: Settings, point: str) -> None:
    hurt, good = (submit_prefix(engine, "s3://b/p/") for _ in range(2))
    crash_points.arm(f"{point}:{hurt}")
    try:
        with odd_store(two_pages) as store, listing_all(engine, with_store(settings, store.url)):
            wait_for(ended(engine, hurt))
            wait_for(ended(engine, good))
    finally:
        crash_points.arm(None)
    assert (job_row(engine, hurt).error_reason, listed(engine, hurt)) == ("INTERNAL", [])
    assert len(listed(engine, good)) == 4 and job_row(engine, good).state == JobState.PENDING


def test_a_store_that_never_answers_holds_up_nobody_else(
    engine: Engine, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More listings hang than are made at once. Each says why it waits and fails; another job is listed meanwhile."""
    monkeypatch.setattr(ingester, "_PAGE_SECONDS", 0.3)
    go_on = threading.Event()

    def answer(query: dict[str, str]) -> Answer:
        if query["prefix"] == "slow/":
            go_on.wait()
        return two_pages(query)

    slow = [submit_prefix(engine, "s3://b/slow/") for _ in range(ingester._AT_ONCE + 2)]
    fast = submit_prefix(engine, "s3://b/fast/")
    with odd_store(answer) as store:
        patient = with_store(settings, store.url, listing_patience_seconds=1)
        with listing_all(engine, patient):
            wait_for(ended(engine, fast))
            for job in slow:
                wait_for(ended(engine, job))
            go_on.set()
    assert len(listed(engine, fast)) == 4 and job_row(engine, fast).state == JobState.PENDING
    for job in slow:
        row = job_row(engine, job)
        assert (row.error_reason, row.n_items) == ("STORAGE_UNAVAILABLE", 0)
        assert "has not answered" in row.error_detail


def test_a_job_of_many_pages_takes_turns_with_the_others(engine: Engine, settings: Settings) -> None:
    """The large job has no end; the small ones are listed all the same."""
    count = iter(range(10**9))

    def answer(query: dict[str, str]) -> Answer:
        if query["prefix"] != "large/":
            return two_pages(query)
        n = next(count)
        return listing([f"large/{n}.jpg"], f"T{n}")

    large = [submit_prefix(engine, "s3://b/large/") for _ in range(6)]
    small = [submit_prefix(engine, "s3://b/small/") for _ in range(6)]
    with odd_store(answer) as store, listing_all(engine, with_store(settings, store.url)):
        for job in small:
            wait_for(ended(engine, job))
        wait_for(lambda: all(job_row(engine, job).ingest_pages > 2 for job in large))
        with engine.begin() as connection:
            stop = {"state": JobState.CANCELLED, "ended_at": text("clock_timestamp()")}
            connection.execute(update(jobs).where(jobs.c.id.in_(large)).values(stop))
    assert {job_row(engine, job).n_items for job in small} == {4}


def test_a_database_that_dies_during_copy_costs_nothing(engine: Engine, settings: Settings) -> None:
    """psycopg itself raises there. The page is stored once the database is back; the job is not to blame."""
    with engine.begin() as connection:
        connection.exec_driver_sql(
            "CREATE FUNCTION die() RETURNS trigger LANGUAGE plpgsql AS "
            "$$ BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); RETURN NEW; END $$"
        )
        connection.exec_driver_sql("CREATE TRIGGER die BEFORE INSERT ON items FOR EACH ROW EXECUTE FUNCTION die()")
    job = submit_prefix(engine, "s3://b/p/")
    with odd_store(two_pages) as store, listing_all(engine, with_store(settings, store.url)):
        wait_for(lambda: len(store.queries) > ingester._MAX_TRIES + 1)
        assert (job_row(engine, job).state, job_row(engine, job).waiting_for) == (JobState.INGESTING, None)
        with engine.begin() as connection:  # not the trigger: to drop it takes a lock, and may meet the insert's
            connection.exec_driver_sql(
                "CREATE OR REPLACE FUNCTION die() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NEW; END $$"
            )
        wait_for(ended(engine, job))
    assert len(listed(engine, job)) == 4 and job_row(engine, job).state == JobState.PENDING


def test_a_listing_survives_the_leader(engine: Engine, settings: Settings) -> None:
    """The second leader goes on with the token that the first has kept."""
    released = threading.Event()

    def answer(query: dict[str, str]) -> Answer:
        if "continuation-token" in query:
            released.wait()
        return two_pages(query)

    job = submit_prefix(engine, "s3://b/p/")
    with odd_store(answer) as store:
        with listing_all(engine, with_store(settings, store.url)):
            wait_for(lambda: len(store.queries) == 2)
        with listing_all(engine, with_store(settings, store.url)):
            wait_for(lambda: len(store.queries) == 3)
            released.set()  # both leaders' second pages come in now
            wait_for(ended(engine, job))
    assert [query.get("continuation-token") for query in store.queries] == [None, "second", "second"]
    assert len(listed(engine, job)) == 4
