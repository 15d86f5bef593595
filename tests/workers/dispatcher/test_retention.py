"""The leader removes old jobs, rows and months, and nothing else."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from uuid import UUID

from sqlalchemy import Engine, func, select, text, update

from db.partitions import first_uuid
from db.statements.clock import now
from db.statements.jobs import delete_job
from db.tables import chunks, items, jobs, results
from tests.conftest import Bucket
from tests.waiting import wait_for
from tests.workers.dispatcher.output.written import ended_job

OF_JOB = (items, chunks, results)


def age(engine: Engine, job: UUID, days: float) -> None:
    with engine.begin() as connection:
        ended = {"ended_at": now() - timedelta(days=days)}
        connection.execute(update(jobs).where(jobs.c.id == job).values(ended))
        connection.execute(text("DELETE FROM outputs WHERE job_id = :job"), {"job": job})


def rows(engine: Engine, job: UUID) -> list[int]:
    with engine.connect() as connection:
        counts = [select(func.count()).select_from(t).where(t.c.job_id == job) for t in OF_JOB]
        counts.append(select(func.count()).where(jobs.c.id == job))
        return [connection.execute(count).scalar_one() for count in counts]


def test_old_jobs_are_removed_and_others_stay(engine: Engine, bucket: Bucket, lead: Callable[..., None]) -> None:
    uri = f"s3://{bucket.name}/out/"
    old, young = ended_job(engine, uri, n=1100, n_masks=1, failed=100), ended_job(engine, uri, n=20)
    for job, days in ((old, 8), (young, 6)):
        age(engine, job, days)
    month = datetime(2020, 2, 1, tzinfo=UTC)
    with engine.begin() as connection:
        lo, hi = first_uuid(month), first_uuid(month + timedelta(days=29))
        for table in ("items", "results"):
            part = f"CREATE TABLE {table}_y2020m02 PARTITION OF {table} FOR VALUES FROM ('{lo}') TO ('{hi}')"
            connection.execute(text(part))
    before = rows(engine, young)
    assert rows(engine, old)[0] == 1100
    lead(retention_days=7.0)
    # What it cannot lock at its first look it removes at the next one, a minute later.
    wait_for(lambda: rows(engine, old) == [0, 0, 0, 0], seconds=150)
    assert rows(engine, young) == before and before[0] == 20
    with engine.connect() as connection:
        assert connection.execute(text("SELECT to_regclass('items_y2020m02')")).scalar_one() is None


def test_without_the_setting_nothing_goes(engine: Engine, bucket: Bucket, lead: Callable[..., None]) -> None:
    """But what a tenant deleted is removed by whoever leads next."""
    old, half = (ended_job(engine, f"s3://{bucket.name}/out/", n=20) for _ in range(2))
    for job in (old, half):
        age(engine, job, 4000)
    with engine.begin() as connection:
        tenant = connection.execute(select(jobs.c.tenant_id).where(jobs.c.id == half)).scalar_one()
        assert connection.execute(*delete_job(tenant, half)).scalar_one()
    lead()
    wait_for(lambda: rows(engine, half) == [0, 0, 0, 0], seconds=150)
    assert rows(engine, old)[0] == 20
