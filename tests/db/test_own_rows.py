"""The second line of defence: what the API's own role sees of the tables, whatever a statement asks for."""

from collections.abc import AsyncIterator, Iterator
from uuid import UUID

import pytest
from sqlalchemy import Engine, insert, select, text, update
from sqlalchemy.exc import ProgrammingError
from sqlalchemy.ext.asyncio import AsyncEngine

from db.api_role import OWN_ROWS, NoSuchRole
from db.engine import async_engine, sync_engine
from db.ids import new_job_id
from db.migrate import migrate
from db.own_rows import see, seeing
from db.statements.clock import now
from db.statements.jobs import delete_job
from db.tables import (
    annotations,
    items,
    jobs,
    output_shards,
    outputs,
    results,
    tenants,
    webhook_secrets,
    webhook_tries,
    webhooks,
)
from deploy.local.postgres import API_ROLE

pytestmark = pytest.mark.anyio
JOB = {"state": "ingesting", "model": "null", "task": {}, "input": {}}
FAILED = {"state": "failed", "fence": 1, "attempt": 1, "reason": "TIMEOUT", "retryable": True}


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def owner(database: str) -> Iterator[Engine]:
    engine = sync_engine(database)
    yield engine
    engine.dispose()


@pytest.fixture
async def api(database: str, anyio_backend: str) -> AsyncIterator[AsyncEngine]:  # noqa: ARG001
    engine = async_engine(database, pool_size=1, role=API_ROLE)
    yield engine
    await engine.dispose()


def fill(owner: Engine, tenant: str) -> UUID:
    """A tenant with one row in every table that has a policy."""
    job_id = new_job_id()
    with owner.begin() as connection:
        connection.execute(insert(tenants).values(id=tenant, created_at=now()))
        connection.execute(insert(webhook_secrets).values(tenant_id=tenant, seed=b"s" * 32, created_at=now()))
        connection.execute(insert(jobs).values(id=job_id, tenant_id=tenant, created_at=now(), **JOB))
        connection.execute(insert(items).values(job_id=job_id, index=0, custom_id="0", image="s3://b/0"))
        connection.execute(insert(results).values(job_id=job_id, index=0, created_at=now(), **FAILED))
        connection.execute(insert(outputs).values(job_id=job_id, uri="s3://b/o/", formats=["coco"]))
        shard = {"format": "coco", "number": 0, "start": 0, "stop": 1, "name": "a", "size": 1, "sha256": b"s" * 32}
        connection.execute(insert(output_shards).values(job_id=job_id, **shard))
        connection.execute(insert(webhooks).values(job_id=job_id, url="https://h", events=["job.failed"]))
        connection.execute(
            insert(webhook_tries).values(job_id=job_id, number=1, status=500, duration_ms=1, created_at=now())
        )
        mask = {"image": "s3://b/0", "height": 2, "width": 2, "counts": "04", "area": 4, "bbox": [0, 0, 2, 2]}
        made = {"state": "accepted", "stage": "assisted", "annotator": "a", "clicks": 1, "created_at": now()}
        connection.execute(insert(annotations).values(tenant_id=tenant, id=job_id, **mask, **made))
    return job_id


async def counted(api: AsyncEngine) -> dict[str, int]:
    """Every row that there is of each table, as far as the API sees."""
    found = {}
    async with api.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
        for table in OWN_ROWS:
            found[table] = (await connection.execute(text(f"SELECT count(*) FROM {table}"))).scalar_one()
    return found


async def test_the_api_sees_the_rows_of_its_tenant_alone(owner: Engine, api: AsyncEngine) -> None:
    mine, theirs = fill(owner, "mine"), fill(owner, "it's, {theirs}")
    assert await counted(api) == dict.fromkeys(OWN_ROWS, 0)
    with seeing(["mine", "it's, {theirs}"]):
        assert await counted(api) == dict.fromkeys(OWN_ROWS, 2)
    see("mine")
    assert await counted(api) == dict.fromkeys(OWN_ROWS, 1)
    async with api.begin() as connection:  # one transaction, of several statements
        for table, key in ((jobs, jobs.c.id), (items, items.c.job_id), (results, results.c.job_id)):
            assert (await connection.execute(select(key))).scalars().all() == [mine]
            assert (await connection.execute(select(key).where(key == theirs))).all() == []
            assert table.name in OWN_ROWS
        for change in ("UPDATE jobs SET name = 'x'", "UPDATE webhooks SET url = 'x'"):
            assert (await connection.execute(text(change))).rowcount == 1
    with owner.connect() as connection:
        assert connection.execute(select(jobs.c.name).order_by(jobs.c.id)).scalars().all() == ["x", None]


async def test_the_api_deletes_jobs_of_its_tenant_alone(owner: Engine, api: AsyncEngine) -> None:
    mine, theirs = fill(owner, "mine"), fill(owner, "theirs")
    see("mine")
    async with api.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
        for tenant, job in (("mine", mine), ("mine", theirs), ("theirs", theirs)):  # not done, or not of "mine"
            assert not (await connection.execute(*delete_job(tenant, job))).scalar_one(), (
                "not done, or not of this tenant"
            )
        with owner.begin() as ended:
            ended.execute(update(jobs).values(state="cancelled", ended_at=now()))
        assert [(await connection.execute(*delete_job("mine", mine))).scalar_one() for _ in range(2)] == [True, False]
        assert not (await connection.execute(*delete_job("theirs", theirs))).scalar_one()
    with owner.connect() as connection:
        for table, left in ((jobs, {mine, theirs}), (outputs, {theirs}), (webhooks, {theirs})):
            key = table.c.id if table is jobs else table.c.job_id
            assert set(connection.execute(select(key)).scalars()) == left


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO items (job_id, index, custom_id, image) VALUES (:theirs, 1, '1', 's3://b/1')",
        "INSERT INTO webhook_secrets (tenant_id, seed) VALUES ('theirs', decode(repeat('00', 32), 'hex'))",
        "UPDATE annotations SET tenant_id = 'theirs'",
        "UPDATE jobs SET tenant_id = 'theirs'",
        "UPDATE jobs SET tenant_id = NULL",
        "DELETE FROM jobs",
        "DELETE FROM results",
        "SELECT * FROM masks",
        "SELECT * FROM results_default",
        "SET ROLE maskworks; SELECT * FROM leader",
    ],
)
async def test_what_the_api_may_not_do(owner: Engine, api: AsyncEngine, statement: str) -> None:
    fill(owner, "mine")
    given = {"theirs": fill(owner, "theirs")} if ":theirs" in statement else {}
    see("mine")
    with pytest.raises(ProgrammingError, match=r"permission denied|row-level security|multiple commands"):
        async with api.begin() as connection:
            await connection.execute(text(statement), given)


def test_a_role_that_is_not_there_is_named(database: str) -> None:
    with pytest.raises(NoSuchRole, match="'nobody_at_all'"):
        migrate(database, "nobody_at_all")
    migrate(database, API_ROLE)  # again
