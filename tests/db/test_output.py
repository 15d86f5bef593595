"""An output's row: who may claim it, what an old fence may still do, and how long it waits."""

from collections.abc import Iterator
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import Connection, Engine, select, text, update
from sqlalchemy.exc import IntegrityError

from db.engine import sync_engine
from db.statements import output as sql
from db.statements.output import Shard
from db.states import OUTPUT_TRANSITIONS, OutputReason, OutputState
from db.tables import outputs
from tests.jobs import submit

SHARD = Shard("jsonl", 0, 0, 2, "jsonl/00000-1.jsonl", 3, bytes(32))


@pytest.fixture
def connection(module_database: str) -> Iterator[Connection]:
    engine = sync_engine(module_database)
    with engine.connect() as connection:
        yield connection
        connection.rollback()
    engine.dispose()


def job(connection: Connection, ended: bool = True) -> UUID:
    job_id = _submitted(connection.engine)
    connection.execute(*sql.insert_output(job_id, "s3://b/out/", ["jsonl"]))
    if ended:
        connection.execute(
            text("UPDATE jobs SET state = 'cancelled', ended_at = now() WHERE id = :job"), {"job": job_id}
        )
    return job_id


def _submitted(engine: Engine) -> UUID:
    return submit(engine, ["s3://b/0.jpg", "s3://b/1.jpg"])


def claim(connection: Connection, job_id: UUID, lease: float = 60) -> Any:
    return connection.execute(*sql.claim(job_id, "a writer", lease_seconds=lease)).one_or_none()


def row(connection: Connection, job_id: UUID) -> Any:
    return connection.execute(select(outputs).where(outputs.c.job_id == job_id)).one()


def add(connection: Connection, job_id: UUID, fence: int) -> bool:
    return connection.execute(*sql.add_shard(job_id, fence, SHARD, lease_seconds=60)).one_or_none() is not None


def later(connection: Connection, job_id: UUID, reason: OutputReason, patience: float = 100) -> OutputState:
    held = row(connection, job_id)
    put_off = sql.put_off(job_id, held.fence, reason=reason, detail="why", patience_seconds=patience)
    state: OutputState = connection.execute(*put_off).scalar_one()
    return state


def test_every_state_has_its_transitions() -> None:
    assert set(OUTPUT_TRANSITIONS) == set(OutputState)


def test_an_output_is_claimed_once_its_job_has_ended(connection: Connection) -> None:
    open_job, ended = job(connection, ended=False), job(connection)
    waiting = connection.execute(*sql.waiting_outputs(of_tenant=100)).scalars().all()
    assert ended in waiting and open_job not in waiting
    assert claim(connection, open_job) is None
    assert claim(connection, ended).fence == 1 and claim(connection, ended) is None


def test_an_old_writer_changes_nothing(connection: Connection) -> None:
    job_id = job(connection)
    old = claim(connection, job_id, lease=-1).fence
    new = claim(connection, job_id).fence
    assert connection.execute(*sql.renew(job_id, old, lease_seconds=60)).one_or_none() is None
    assert not add(connection, job_id, old)
    late = (
        sql.complete(job_id, old),
        sql.give_back(job_id, old),
        sql.fail(job_id, old, reason=OutputReason.INTERNAL, detail="late"),
        sql.put_off(job_id, old, reason=OutputReason.INTERNAL, detail="late", patience_seconds=0),
    )
    assert [connection.execute(*statement).one_or_none() for statement in late] == [None] * 4
    assert add(connection, job_id, new)
    assert row(connection, job_id).state == OutputState.WRITING


def test_a_file_is_recorded_once(connection: Connection) -> None:
    job_id = job(connection)
    fence = claim(connection, job_id).fence
    assert add(connection, job_id, fence)
    with pytest.raises(IntegrityError):
        add(connection, job_id, fence)


def test_it_waits_and_then_fails_where_s3_does(connection: Connection) -> None:
    job_id = job(connection)
    claim(connection, job_id)
    assert later(connection, job_id, OutputReason.STORAGE_UNAVAILABLE) == OutputState.PENDING
    put_off = row(connection, job_id)
    assert (put_off.error_reason, put_off.tries, put_off.holder) == ("STORAGE_UNAVAILABLE", 0, None)
    assert claim(connection, job_id) is None  # it waits
    _no_wait(connection, job_id)
    claim(connection, job_id)
    assert later(connection, job_id, OutputReason.STORAGE_UNAVAILABLE, patience=0) == OutputState.FAILED
    assert row(connection, job_id).ended_at is not None and claim(connection, job_id) is None


def test_progress_forgets_failures_and_deaths_count(connection: Connection) -> None:
    job_id = job(connection)
    for tries in (1, 2):
        assert claim(connection, job_id, lease=-1).tries == tries
    claim(connection, job_id)
    later(connection, job_id, OutputReason.INTERNAL)
    _no_wait(connection, job_id)
    fence = claim(connection, job_id).fence
    assert row(connection, job_id).tries == 4
    add(connection, job_id, fence)
    now = row(connection, job_id)
    assert (now.tries, now.failing_since, now.error_reason) == (0, None, None)


def test_a_complete_output_stays_and_a_failed_one_may_be_tried_again(connection: Connection) -> None:
    job_id = job(connection)
    fence = claim(connection, job_id).fence
    connection.execute(*sql.fail(job_id, fence, reason=OutputReason.ACCESS_DENIED, detail="no"))
    again = {"state": OutputState.PENDING, "ended_at": None, "failing_since": None, "tries": 0}
    connection.execute(update(outputs).where(outputs.c.job_id == job_id).values(again))
    fence = claim(connection, job_id).fence
    assert connection.execute(*sql.complete(job_id, fence)).one()
    with pytest.raises(IntegrityError, match="is final"):
        connection.execute(update(outputs).where(outputs.c.job_id == job_id).values(again))


def _no_wait(connection: Connection, job_id: UUID) -> None:
    connection.execute(update(outputs).where(outputs.c.job_id == job_id).values(run_after=None))
