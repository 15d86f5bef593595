"""Jobs are removed by their age: which ones, what finds them afterwards, and when a month's partitions go."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from hashlib import md5
from uuid import UUID

import pytest
from sqlalchemy import Engine, func, insert, select, text, update

from db.engine import sync_engine
from db.partitions import drop_month, first_uuid, past_months
from db.statements import jobs as sql
from db.statements import output, retention, retry, reuse, submit, webhooks
from db.statements.clock import now
from db.states import JobState, OutputState, ResultState, WebhookState
from db.tables import items, jobs, outbox, outputs, results
from db.tables import webhooks as webhooks_table
from tests.jobs import submit as submit_job

PAST = datetime(2020, 2, 1, tzinfo=UTC)


@pytest.fixture(scope="module")
def engine(module_database: str) -> Iterator[Engine]:
    engine = sync_engine(module_database)
    yield engine
    engine.dispose()


def ended(engine: Engine, days: float, **columns: object) -> UUID:
    """A job that succeeded so many days ago."""
    job = submit_job(engine, ["s3://b/a"])
    with engine.begin() as connection:
        values = {"state": JobState.SUCCEEDED, "ended_at": now() - timedelta(days=days), **columns}
        connection.execute(update(jobs).where(jobs.c.id == job).values(values))
    return job


def take(engine: Engine, days: float = 7) -> set[UUID]:
    with engine.begin() as connection:
        return set(connection.execute(*retention.take_from_tenants(days=days, most=100)).scalars())


def test_old_jobs_go_once_nothing_is_under_way(engine: Engine) -> None:
    old, young, sent, written = ended(engine, 8), ended(engine, 6), ended(engine, 8), ended(engine, 8)
    running = submit_job(engine, ["s3://b/a"])
    with engine.begin() as connection:
        connection.execute(*webhooks.insert_webhook(sent, "https://a.example/", ["job.succeeded"]))
        connection.execute(*output.insert_output(written, "s3://b/out/", ["coco"]))
    with engine.connect() as retrying:  # its items are being copied
        retrying.execute(*retry.retried_job("default", old)).one()
        assert take(engine) == set()
    assert take(engine) == {old}
    with engine.begin() as connection:
        settled = {"state": WebhookState.DELIVERED}
        connection.execute(update(webhooks_table).where(webhooks_table.c.job_id == sent).values(settled))
        complete = {"state": OutputState.COMPLETE, "ended_at": func.now()}
        connection.execute(update(outputs).where(outputs.c.job_id == written).values(complete))
    assert take(engine) == {sent, written} and take(engine) == set()
    with engine.connect() as connection:
        kept = connection.execute(select(jobs.c.id).where(jobs.c.tenant_id == "default")).scalars().all()
        assert {young, running} <= set(kept)


def test_nothing_finds_a_job_that_is_being_removed(engine: Engine) -> None:
    sought = md5(b"an image").digest()
    job = ended(engine, 8, idempotency_key="key", request_sha256=b"digest")
    with engine.begin() as connection:
        row = {"job_id": job, "index": 0, "state": ResultState.SUCCEEDED, "fence": 1, "attempt": 1, "height": 1}
        row |= {"width": 1, "masks": [], "rle": b"", "fingerprint": sought, "created_at": now()}
        connection.execute(insert(results).values(row))
        assert connection.execute(*reuse.earlier("default", sought)).one().job_id == job
        connection.execute(*webhooks.insert_webhook(job, "https://a.example/", ["job.succeeded"]))
        connection.execute(update(webhooks_table).values(state=WebhookState.DELIVERED))
    assert job in take(engine)
    with engine.connect() as connection:
        for finds in (
            sql.job("default", job),
            sql.followed([job]),
            reuse.earlier("default", sought),
            retry.retried_job("default", job),
            webhooks.webhook("default", job),
        ):
            assert connection.execute(*finds).all() == []
        again = {"id": first_uuid(datetime.now(UTC)), "tenant_id": "default", "state": "pending", "model": "null"}
        more = {"task": {}, "input": {}, "n_items": 1, "idempotency_key": "key", "request_sha256": b"other"}
        assert connection.execute(*submit.insert_job(again | more)).first() is not None


def old_job(engine: Engine, at: datetime, n: int = 3) -> UUID:
    """A job whose id is of that time."""
    job = first_uuid(at)
    row = {"id": job, "tenant_id": "default", "state": "succeeded", "model": "null", "task": {}, "input": {}}
    with engine.begin() as connection:
        connection.execute(insert(jobs).values(row | {"n_items": n, "created_at": at, "ended_at": at}))
        rows = [{"job_id": job, "index": i, "custom_id": str(i), "image": "s3://b/a"} for i in range(n)]
        connection.execute(insert(items), rows)
    return job


def test_a_month_goes_when_no_tenant_has_a_job_of_it(engine: Engine) -> None:
    lo, hi = first_uuid(PAST), first_uuid(datetime(2020, 3, 1, tzinfo=UTC))
    with engine.begin() as connection:
        for table in ("items", "results"):
            part = f"CREATE TABLE {table}_y2020m02 PARTITION OF {table} FOR VALUES FROM ('{lo}') TO ('{hi}')"
            connection.execute(text(part))
    first, second = old_job(engine, PAST), old_job(engine, PAST + timedelta(days=28))
    beside = old_job(engine, PAST + timedelta(days=29))
    with engine.begin() as connection:
        assert past_months(connection) == [PAST]  # not the months in use
        assert not drop_month(connection, PAST, lock_seconds=1)
        connection.execute(update(jobs).where(jobs.c.id == first).values(tenant_id=None))
        assert not drop_month(connection, PAST, lock_seconds=1)
        connection.execute(update(jobs).where(jobs.c.id == second).values(tenant_id=None))
    with engine.connect() as reader:
        reader.execute(select(items.c.index).limit(1)).all()
        with pytest.raises(Exception, match="lock timeout"), engine.begin() as connection:
            drop_month(connection, PAST, lock_seconds=0.05)
    with engine.begin() as connection:
        assert drop_month(connection, PAST, lock_seconds=1) and past_months(connection) == []
        left = connection.execute(select(items.c.job_id).where(items.c.job_id < hi)).scalars().all()
        assert left == []
        assert len(connection.execute(select(items.c.job_id).where(items.c.job_id == beside)).all()) == 3


def test_only_old_rows_of_the_outbox_go(engine: Engine) -> None:
    old, young = ended(engine, 1), ended(engine, 1)
    with engine.begin() as connection:
        for job, days in ((old, 8), (young, 6)):
            at = now() - timedelta(days=days)
            connection.execute(insert(outbox).values(job_id=job, kind="job.ended", created_at=at))
        assert len(connection.execute(*retention.forget_events(days=7, most=100)).all()) == 1
        assert connection.execute(select(outbox.c.job_id)).scalars().all() == [young]
