"""How much work is left, and how many workers it wants: `work_left` and `wanted_workers` of the database."""

from collections.abc import Iterator
from typing import Any
from uuid import UUID

import psycopg
import pytest
from sqlalchemy import Engine, make_url, text

from db.engine import sync_engine
from db.statements import lease, scaling, tally
from deploy.local.stores import Stores
from tests.jobs import submit

AUTO, PROMPTED = {"type": "auto"}, {"type": "prompted"}


@pytest.fixture
def engine(database: str) -> Iterator[Engine]:
    engine = sync_engine(database)
    yield engine
    engine.dispose()


def add_job(engine: Engine, images: int, seconds_left: float | None = None, **more: Any) -> UUID:
    job = submit(engine, [f"s3://b/{i}" for i in range(images)], **more)
    if seconds_left is not None:
        with engine.begin() as connection:
            due = "UPDATE jobs SET deadline = clock_timestamp() + make_interval(secs => :s) WHERE id = :job"
            connection.execute(text(due), {"s": seconds_left, "job": job})
    return job


def pace(engine: Engine, model: str, task: str, each: float, worker: str = "w", age: str = "0 s") -> None:
    """A worker has measured `each` seconds for an item of its last hundred."""
    with engine.begin() as connection:
        connection.execute(*scaling.keep_paces([scaling.Pace(worker, model, task, 100, 100 * each)]))
        connection.execute(
            text("UPDATE paces SET measured_at = clock_timestamp() - CAST(:age AS interval) WHERE worker = :w"),
            {"age": age, "w": worker},
        )


def left(engine: Engine, model: str = "null") -> Any:
    with engine.connect() as connection:
        rows = {row.model: row for row in connection.execute(*scaling.work_left())}
    return rows.get(model)


def wanted(engine: Engine, model: str = "null", drain: float = 100, cold: float = 60) -> int:
    with engine.connect() as connection:
        call = text("SELECT wanted_workers(:model, :drain, :cold)")
        found: int = connection.execute(call, {"model": model, "drain": drain, "cold": cold}).scalar_one()
    return found


def work(engine: Engine, job: UUID, chunk_no: int, ok: int, failed: int = 0, end: bool = False) -> lease.Fence:
    """A worker claims a chunk, and records so many items of it."""
    with engine.begin() as connection:
        connection.execute(*lease.start_job(job))
        row = connection.execute(*lease.claim(job, chunk_no, worker="w", lease_seconds=60)).one()
        fence = lease.Fence(job, chunk_no, row.fence)
        reasons = {"TIMEOUT": failed} if failed else {}
        connection.execute(*lease.record(fence, lease_seconds=60, more_ok=ok, reasons=reasons, inflight=[]))
        if end:
            connection.execute(*lease.complete(fence)).one()
    return fence


def test_each_model_and_task_has_its_own_pace(engine: Engine) -> None:
    add_job(engine, 100, model="null", task=AUTO)
    add_job(engine, 40, model="null", task=PROMPTED)
    add_job(engine, 10, model="sam_vit_b", task=AUTO)
    add_job(engine, 7, model="sam_tiny", task=AUTO)
    pace(engine, "null", "auto", 2.0)
    pace(engine, "null", "prompted", 0.5)
    pace(engine, "sam_tiny", "prompted", 3.0)
    found = left(engine)
    assert (found.items, found.seconds, found.wanted_workers) == (140, 220.0, 1) and 0 < found.oldest_seconds < 60
    assert left(engine, "sam_vit_b").seconds == 10  # nothing is known
    assert left(engine, "sam_tiny").seconds == 21  # that of its other task
    assert [wanted(engine, each) for each in ("null", "sam_vit_b", "sam_vit_h")] == [3, 1, 0]


def test_items_in_work_count_until_they_are_done(engine: Engine) -> None:
    """Leased chunks, chunks given back for a retry, and ended ones, before and after their tally."""
    job = add_job(engine, 64, size=16)
    add_job(engine, 5)
    work(engine, job, 0, ok=16, end=True)
    work(engine, job, 1, ok=3, failed=2)
    again = work(engine, job, 2, ok=1)
    with engine.begin() as connection:
        connection.execute(*lease.give_back(again)).one()
    assert left(engine).items == 64 - 16 - 5 - 1 + 5
    with engine.begin() as connection:
        assert connection.execute(*tally.add_tallies(most=10)).scalar_one() == 1
        connection.execute(text("UPDATE chunks SET run_after = clock_timestamp() + interval '1 h' WHERE chunk_no = 2"))
    assert left(engine).items == 47
    with engine.begin() as connection:
        connection.execute(text("UPDATE jobs SET state = 'cancelled', ended_at = now() WHERE id = :job"), {"job": job})
    assert left(engine).items == 5


def test_a_pace_is_that_of_the_last_quarter_of_an_hour_in_which_there_was_one(engine: Engine) -> None:
    add_job(engine, 100)
    pace(engine, "null", "auto", 1.0, worker="fast", age="20 days")
    pace(engine, "null", "auto", 3.0, worker="slow", age="20 days 5 minutes")
    pace(engine, "null", "auto", 50.0, worker="old", age="20 days 2 hours")
    assert left(engine).seconds == 200
    with engine.begin() as connection:
        connection.execute(*scaling.forget_paces())
        assert set(connection.execute(text("SELECT worker FROM paces")).scalars()) == {"fast", "slow"}


@pytest.mark.parametrize(
    ("jobs", "expected"),
    [
        ([(1000, None)], 10),
        ([(1000, 10_060)], 10),  # there is more time than the target
        ([(1000, 110)], 17),  # a minute at least
        ([(950, 160)], 10),
        ([(1000, 110), (1000, 600)], 20),
        ([(600, 160), (600, 160), (5000, 2060)], 62),  # 6200 / 100
        ([(600, 120), (600, 120), (10, None)], 20),
        ([(3, 1.5)], 1),
        ([(3, -5)], 0),  # the leader is about to end it
    ],
)
def test_deadlines_ask_for_more(engine: Engine, jobs: list[tuple[int, float | None]], expected: int) -> None:
    pace(engine, "null", "auto", 1.0)
    for images, seconds_left in jobs:
        add_job(engine, images, seconds_left)
    assert wanted(engine) == expected


def test_no_more_workers_than_items_and_few_before_the_first_measure(engine: Engine) -> None:
    job = add_job(engine, 1000, 30)
    assert wanted(engine) == 4
    with engine.begin() as connection:
        connection.execute(text("UPDATE jobs SET n_items = 3, deadline = NULL WHERE id = :job"), {"job": job})
    pace(engine, "null", "auto", 1000.0)
    assert wanted(engine) == 3


def test_a_role_that_may_do_nothing_else_may_ask(engine: Engine, database: str, stores: Stores) -> None:
    add_job(engine, 2000)
    url = make_url(stores.superuser_url).set(drivername="postgresql", database=make_url(database).database)
    with psycopg.connect(url.render_as_string(hide_password=False), autocommit=True) as connection:
        connection.execute("DROP ROLE IF EXISTS scaler")
        connection.execute("CREATE ROLE scaler")
        connection.execute("SET ROLE scaler")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("SELECT wanted_workers('null')")
        connection.execute("RESET ROLE")
        connection.execute("GRANT EXECUTE ON FUNCTION wanted_workers TO scaler")
        connection.execute("SET ROLE scaler")
        connection.execute("CREATE TEMP TABLE jobs (state text)")  # of no effect
        assert connection.execute("SELECT wanted_workers('null')").fetchone() == (2,)
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("SELECT * FROM public.jobs")
        connection.execute("RESET ROLE")
        connection.execute("DROP TABLE pg_temp.jobs")
        connection.execute("REVOKE ALL ON FUNCTION wanted_workers FROM scaler")
        connection.execute("DROP ROLE scaler")
