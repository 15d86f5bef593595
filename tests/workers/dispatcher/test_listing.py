"""Stores that do not sort, have no end or talk nonsense: every key once, or a job that says why it waits and fails."""

import random
from collections.abc import Callable
from datetime import timedelta

import pytest
from sqlalchemy import Engine, func, update

from db.states import JobState, WaitReason
from db.tables import jobs
from tests.jobs import job_row
from tests.workers.dispatcher.prefixes import listed, step, submit_prefix
from tests.workers.odd_store import Answer, listing, odd_store, refusal
from workers.dispatcher.settings import Settings
from workers.storage.client import s3_client

PREFIX = "s3://odd-bucket/p/"
Query = dict[str, str]


@pytest.fixture
def database(module_database: str) -> str:
    """One for all: each test's job has ended when it ends."""
    return module_database


def against(settings: Settings, url: str, **changes: object) -> Settings:
    return settings.model_copy(update={"s3_endpoint_url": url, "buckets": ("*",)} | changes)


def in_pages(keys: list[str], size: int, name: Callable[[int], str]) -> Callable[[Query], Answer]:
    """A store that knows no StartAfter; its tokens are the pages' names."""
    starts = {name(start): start for start in range(size, len(keys), size)}

    def answer(query: Query) -> Answer:
        start = starts[query["continuation-token"]] if "continuation-token" in query else 0
        following = start + size
        return listing(keys[start:following], name(following) if following < len(keys) else None)

    return answer


def test_a_store_that_does_not_sort_gives_every_key_once(engine: Engine, settings: Settings) -> None:
    keys = [f"p/{i:04}.jpg" for i in range(2500)]
    random.Random(3).shuffle(keys)
    job = submit_prefix(engine, PREFIX)
    with odd_store(in_pages(keys, 1000, lambda start: f"T/{start}+ü=&")) as store:
        while step(engine, against(settings, store.url)):  # a new client each step: nothing but the row is kept
            pass
    assert listed(engine, job) == [f"s3://odd-bucket/{key}" for key in keys]
    assert job_row(engine, job).state == JobState.PENDING
    assert len(store.queries) == 3 and not any("start-after" in query for query in store.queries)


def endless(kind: str) -> Callable[[Query], Answer]:
    count = iter(range(10**9))

    def answer(_: Query) -> Answer:
        n = next(count)
        keys = [f"p/{i}.jpg" for i in range(5)]
        return {
            "the same token": lambda: listing([f"p/{n}.jpg"], "T"),
            "the same page": lambda: listing(keys, f"T{n}"),
            "the same page, not taken": lambda: listing(["p/a.txt"], f"T{n}"),
            "three pages in a circle": lambda: listing([f"p/{n % 3}.jpg"], f"T{n % 3}"),
            "a circle later": lambda: listing([f"p/{n if n < 9 else 9 + n % 4}.jpg"], f"T{n}"),
            "empty pages in a circle": lambda: listing([], f"T{n % 2}"),
            "empty pages": lambda: listing([], f"T{n}"),
            "new keys for ever": lambda: listing([f"p/{n}.jpg"], f"T{n}"),
        }[kind]()

    return answer


@pytest.mark.parametrize(
    ("kind", "why"),
    [
        ("the same token", "the same continuation token again"),
        ("the same page", "the same page again"),
        ("the same page, not taken", "the same page again"),
        ("three pages in a circle", "the same page again"),
        ("a circle later", "the same page again"),
        ("empty pages in a circle", "the same page again"),
        ("empty pages", "more than 40 pages"),
        ("new keys for ever", "more than 40 pages"),
    ],
)
def test_a_listing_without_end_fails_the_job(engine: Engine, settings: Settings, kind: str, why: str) -> None:
    job = submit_prefix(engine, PREFIX)
    with odd_store(endless(kind)) as store:
        bounded = against(settings, store.url, max_listing_pages=40)
        client = s3_client(bounded)
        while step(engine, bounded, client):
            assert len(store.queries) < 50
    row = job_row(engine, job)
    assert (row.state, row.error_reason) == (JobState.FAILED, "INPUT_UNREADABLE")
    assert why in row.error_detail


URL_ENCODED = "<EncodingType>url</EncodingType>"
NONSENSE: dict[str, tuple[Answer, str]] = {
    "an unknown code": (refusal(400, "WhatEver"), "INPUT_UNREADABLE"),
    "an expired token": (refusal(400, "ExpiredToken"), "INPUT_UNREADABLE"),
    "a teapot": ((418, b"<html>"), "INPUT_UNREADABLE"),
    "a redirect to nowhere": ((301, b""), "STORAGE_UNAVAILABLE"),
    "busy": (refusal(503, "SlowDown"), "STORAGE_UNAVAILABLE"),
    "throttled": (refusal(429, "SlowDown"), "STORAGE_UNAVAILABLE"),
    "an error with 200": (refusal(200, "InternalError"), "STORAGE_UNAVAILABLE"),
    "HTML": ((200, b"<html><body>Sign in</body></html>"), "INPUT_UNREADABLE"),
    "HTML that is no XML": ((200, b"<!doctype html><p>Sign in<br>"), "STORAGE_UNAVAILABLE"),
    "nothing": ((200, b""), "INPUT_UNREADABLE"),
    "JSON": ((200, b'{"Contents": []}'), "STORAGE_UNAVAILABLE"),
    "an entry without a key": (listing(["p/a.jpg"], extra="<Contents><Size>1</Size></Contents>"), "INPUT_UNREADABLE"),
    "the same, encoded": (listing([], extra=f"{URL_ENCODED}<Contents><Size>1</Size></Contents>"), "INPUT_UNREADABLE"),
    "an empty key": (listing(["p/a.jpg", ""]), "INPUT_UNREADABLE"),
    "a bad date": (
        listing([], extra="<Contents><Key>p/a.jpg</Key><LastModified>gestern</LastModified></Contents>"),
        "INPUT_UNREADABLE",
    ),
    "a bad size": (listing([], extra="<Contents><Key>p/a.jpg</Key><Size>big</Size></Contents>"), "INPUT_UNREADABLE"),
    "NUL in the XML": (listing(["p/\x00.jpg"]), "STORAGE_UNAVAILABLE"),
    "truncated without a token": (
        (200, listing(["p/a.jpg"])[1].replace(b"false", b"true")),
        "INPUT_UNREADABLE",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", NONSENSE)
def test_what_cannot_be_read_is_waited_for_and_then_fails(engine: Engine, settings: Settings, name: str) -> None:
    answer, reason = NONSENSE[name]
    job = submit_prefix(engine, PREFIX)
    with odd_store(lambda _: answer) as store:
        check_it_waits_then_fails(engine, against(settings, store.url), job, reason)


def check_it_waits_then_fails(engine: Engine, settings: Settings, job: object, reason: str) -> None:
    client = s3_client(settings)
    for _ in range(2):
        step(engine, settings, client)
        row = job_row(engine, job)  # type: ignore[arg-type]
        assert (row.state, row.waiting_for) == (JobState.INGESTING, WaitReason.STORAGE_UNAVAILABLE)
        assert row.waiting_detail.startswith(PREFIX) and len(row.waiting_detail) > len(PREFIX) + 3
    later = func.clock_timestamp() - timedelta(seconds=settings.listing_patience_seconds)
    with engine.begin() as connection:
        connection.execute(update(jobs).where(jobs.c.id == job).values(waiting_since=later))
    step(engine, settings, client)
    row = job_row(engine, job)  # type: ignore[arg-type]
    assert (row.state, row.error_reason, row.error_detail) == (JobState.FAILED, reason, row.waiting_detail)


def test_a_store_that_is_away_is_waited_for(engine: Engine, settings: Settings) -> None:
    with odd_store(lambda _: listing([])) as store:
        url = store.url
    job = submit_prefix(engine, PREFIX)
    check_it_waits_then_fails(engine, against(settings, url), job, "STORAGE_UNAVAILABLE")


def test_without_credentials_the_job_says_so(
    engine: Engine, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nonexistent")
    job = submit_prefix(engine, PREFIX)
    with odd_store(lambda _: listing([])) as store:
        bare = against(settings, store.url, s3_access_key=None, s3_secret_key=None)
        check_it_waits_then_fails(engine, bare, job, "INPUT_UNREADABLE")
    assert "credentials" in job_row(engine, job).error_detail


@pytest.mark.parametrize("code", ["AccessDenied", "NoSuchBucket", "InvalidAccessKeyId", "SignatureDoesNotMatch"])
def test_a_refusal_for_good_fails_at_once(engine: Engine, settings: Settings, code: str) -> None:
    job = submit_prefix(engine, PREFIX)
    with odd_store(lambda _: refusal(403, code)) as store:
        step(engine, against(settings, store.url))
    row = job_row(engine, job)
    assert (row.state, row.error_reason, row.error_detail) == (JobState.FAILED, "INPUT_UNREADABLE", f"{PREFIX}: {code}")


def test_a_listing_goes_on_where_it_was_once_the_store_recovers(engine: Engine, settings: Settings) -> None:
    keys = [f"p/{i}.jpg" for i in range(4)]
    pages, trouble = in_pages(keys, 2, str), [refusal(503, "SlowDown"), (200, b"<html/>")]
    job = submit_prefix(engine, PREFIX)

    def answer(query: Query) -> Answer:
        return trouble.pop() if "continuation-token" in query and trouble else pages(query)

    with odd_store(answer) as store:
        for _ in range(4):
            step(engine, against(settings, store.url))
    row = job_row(engine, job)
    assert (row.state, row.n_items, row.waiting_for, row.waiting_since) == (JobState.PENDING, 4, None, None)
    assert len(listed(engine, job)) == 4


def test_odd_keys_among_good_ones_are_passed_over_or_taken(engine: Engine, settings: Settings) -> None:
    """What a client may not name is not taken from a listing either; the rest goes on."""
    odd = ["p/nul%00.jpg", "p/line%0Afeed.jpg", "p/del%7F.jpg", "p/../q/up.jpg", "p/./here.jpg", "elsewhere/a.jpg"]
    odd.append("p/a%3FversionId=1.jpg")
    good = [
        "p/a.jpg",
        "p//double.jpg",
        "p/..jpg/b.jpg",
        "p/%25.jpg",
        "p/%E7%8C%AB.jpg",
        "p/tab%20s.jpg",
        "p/%5C%22'.jpg",
    ]
    job = submit_prefix(engine, PREFIX, "**")
    with odd_store(lambda _: listing([*odd, *good, "p/folder/"], extra=URL_ENCODED)) as store:
        step(engine, against(settings, store.url))
    row = job_row(engine, job)
    assert (row.state, row.n_passed_over) == (JobState.PENDING, len(odd))
    assert [uri.removeprefix("s3://odd-bucket/") for uri in listed(engine, job)] == [
        "p/a.jpg", "p//double.jpg", "p/..jpg/b.jpg", "p/%.jpg", "p/猫.jpg", "p/tab s.jpg", "p/\\\"'.jpg",
    ]  # fmt: skip


def test_ten_thousand_keys_are_chosen_by_a_hostile_glob(engine: Engine, settings: Settings) -> None:
    keys = [f"p/{'ab' * 40}{i:05}.jpg" for i in range(10_000)]
    job = submit_prefix(engine, PREFIX, "*a" * 60 + "x")
    with odd_store(in_pages(keys, 1000, str)) as store:
        while step(engine, against(settings, store.url)):
            pass
    row = job_row(engine, job)
    assert (row.state, row.error_reason, row.n_passed_over) == (JobState.FAILED, "INPUT_EMPTY", 10_000)
