"""The order in which chunks get their messages: the rule and the example of `dispatch.fill_window`."""

from collections.abc import Iterator
from uuid import UUID

import pytest
from sqlalchemy import Engine, insert, select

from db.engine import single_statements, sync_engine
from db.queues import queues
from db.statements import dispatch, lease, register
from db.tables import chunks, tenants
from tests.jobs import submit


@pytest.fixture
def engine(database: str) -> Iterator[Engine]:
    engine = sync_engine(database)
    yield engine
    engine.dispose()


def add_tenant(engine: Engine, name: str, weight: float) -> str:
    with engine.begin() as connection:
        connection.execute(insert(tenants).values(id=name, weight=weight))
    return name


def add_job(engine: Engine, tenant: str, images: int = 160, priority: int = 5, model: str = "null") -> UUID:
    uris = [f"s3://b/{i}" for i in range(images)]
    return submit(engine, uris, tenant_id=tenant, priority=priority, model=model)


def fill(engine: Engine, room: int, job_room: int = 100) -> list[tuple[UUID, int]]:
    """Chunks that get a message, in order."""
    with single_statements(engine).connect() as connection:
        rows = connection.execute(*dispatch.fill_window("null", room=room, job_room=job_room)).all()
    return [(row.job_id, row.chunk_no) for row in rows]


def test_the_example_of_two_tenants(engine: Engine) -> None:
    a = add_job(engine, add_tenant(engine, "a", 1))
    assert fill(engine, 1) == [(a, 0)]
    b = add_job(engine, add_tenant(engine, "b", 2))
    assert fill(engine, 5) == [(b, 0), (b, 1), (b, 2), (a, 1), (b, 3)]


def test_a_small_job_never_waits_for_the_rest_of_a_large_one(engine: Engine) -> None:
    large = add_job(engine, "default", images=1600)
    assert fill(engine, 4) == [(large, 0), (large, 1), (large, 2), (large, 3)]
    small = add_job(engine, "default", images=10)
    assert fill(engine, 2) == [(small, 0), (large, 4)]


def test_a_step_of_priority_doubles_a_jobs_part(engine: Engine) -> None:
    usual, urgent = add_job(engine, "default"), add_job(engine, "default", priority=6)
    assert [job for job, _ in fill(engine, 6)].count(urgent) == 4
    assert [job for job, _ in fill(engine, 6)].count(usual) == 2


def test_a_job_has_no_more_messages_than_its_room(engine: Engine) -> None:
    job = add_job(engine, "default")
    assert fill(engine, 8, job_room=3) == [(job, 0), (job, 1), (job, 2)]
    assert fill(engine, 8, job_room=3) == []


def test_other_models_wait_for_their_own_window(engine: Engine) -> None:
    add_job(engine, "default", model="sam_vit_b")
    assert fill(engine, 8) == []


def test_only_a_chunk_that_still_waits_is_announced_again(engine: Engine) -> None:
    job = add_job(engine, "default")
    assert fill(engine, 3) == [(job, 0), (job, 1), (job, 2)]
    with engine.begin() as connection:
        connection.execute(*lease.start_job(job))
        connection.execute(*lease.claim(job, 1, worker="w", lease_seconds=60)).one()
        again = connection.execute(*dispatch.announce_again(job, [0, 1, 9])).all()
    assert [(row.job_id, row.chunk_no) for row in again] == [(job, 0)]


def test_a_worker_leaves_a_newer_protocol_to_others(engine: Engine) -> None:
    newer = submit(engine, ["s3://b/0"], protocol=2)
    assert fill(engine, 8) == []
    signed = [register.Registration(f"knows {n}", "null", "1", "cpu", "float32", n, ["auto"], n) for n in (1, 2)]
    with engine.begin() as connection:
        connection.execute(*register.sign(signed))
        ((queue, slots),) = [(row.queue, row.slots) for row in connection.execute(*dispatch.windows(alive_seconds=9))]
        assert slots == 2
        assert queue in queues("null", text=False, protocol=2) and queue not in queues("null", text=True, protocol=1)
        ((job, chunk),) = [row[:2] for row in connection.execute(*dispatch.fill_window(queue, room=8, job_room=8))]
        connection.execute(*lease.start_job(job))
        # Even if its message comes to a worker that does not know it.
        assert connection.execute(*lease.claim(job, chunk, worker="1", lease_seconds=60, knows=1)).all() == []
        assert connection.execute(select(chunks.c.attempts, chunks.c.state)).one() == (0, "dispatched")
        taken = connection.execute(*lease.claim(job, chunk, worker="2", lease_seconds=60, knows=2)).one()
        assert (taken.job_id, taken.attempts) == (newer, 1)


def test_the_queues_of_a_worker() -> None:
    assert queues("m", text=False, protocol=1) == ("m",)
    assert queues("m", text=True, protocol=3) == ("m", "m.v2", "m.v3", "m.text", "m.text.v2", "m.text.v3")
