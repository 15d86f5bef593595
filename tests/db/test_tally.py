"""Counts by tallies against counts by hand: after every step of whatever claims, ends, stops and tallies chunks."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import Engine, Select, delete, func, select, text, update
from sqlalchemy.exc import IntegrityError

from db.endings import stop_job
from db.engine import sync_engine
from db.statements import jobs as sql
from db.statements import lease, stop, tally
from db.states import FINAL_CHUNK_STATES, FINAL_JOB_STATES, ItemState, JobReason, JobState
from db.tables import chunks, jobs, tallies
from tests.db.tally_play import N_ITEMS, SIZE, Play, add_tallies, by_hand, check, counts, finish, stop_for
from tests.jobs import submit

STEPS = 120


@pytest.fixture(scope="module")
def engine(module_database: str) -> Iterator[Engine]:
    engine = sync_engine(module_database, pool_size=8)
    yield engine
    engine.dispose()


@pytest.fixture(autouse=True)
def nothing_left(engine: Engine) -> None:
    """Chunks of other tests are tallied before a test counts what is."""
    add_tallies(engine)


@pytest.mark.parametrize("seed", range(8))
def test_counts_are_those_of_every_chunk_after_every_step(engine: Engine, seed: int) -> None:
    play = Play(engine, seed)
    stops_at = play.random.choice([30, 80, STEPS])
    reason = play.random.choice(
        [JobReason.CANCELLED_BY_CLIENT, JobReason.DEADLINE_EXCEEDED, JobReason.FAILURE_RATIO_EXCEEDED]
    )
    for step in range(STEPS):
        if step == stops_at:
            stop_for(engine, play.job, reason)
        play.step()
        check(engine, play.job)
    stop_for(engine, play.job, reason)
    before = check(engine, play.job)
    for _ in range(N_ITEMS // SIZE):
        add_tallies(engine, 1)
        assert check(engine, play.job) == before
    add_tallies(engine)
    assert check(engine, play.job) == before
    with engine.connect() as connection:
        left = select(func.count()).where(chunks.c.job_id == play.job, tally.UNTALLIED)
        assert connection.execute(left).scalar_one() == 0  # a poll of a final job reads tallies alone
        assert connection.execute(select(jobs.c.state).where(jobs.c.id == play.job)).scalar_one() in FINAL_JOB_STATES


def done_job(engine: Engine, chunk_count: int = 10) -> UUID:
    """A running job whose chunks but the last are done, one item of each failed."""
    job_id = submit(engine, [f"s3://b/{i}" for i in range(chunk_count * SIZE)], size=SIZE)
    for chunk_no in range(chunk_count - 1):
        end_chunk(engine, job_id, chunk_no)
    return job_id


def end_chunk(engine: Engine, job_id: UUID, chunk_no: int) -> None:
    with engine.begin() as connection:
        connection.execute(*lease.start_job(job_id))
        row = connection.execute(*lease.claim(job_id, chunk_no, worker="w", lease_seconds=60)).one()
        fence = lease.Fence(job_id, chunk_no, row.fence)
        connection.execute(
            *lease.record(fence, lease_seconds=60, more_ok=SIZE - 1, reasons={"TIMEOUT": 1}, inflight=[])
        ).one()
        connection.execute(*lease.complete(fence)).one()


def test_a_chunk_is_added_once_and_stays_as_it_was_counted(engine: Engine) -> None:
    job_id = done_job(engine)
    assert [add_tallies(engine, 4), add_tallies(engine, 4), add_tallies(engine, 4), add_tallies(engine, 4)] == [
        4,
        4,
        1,
        0,
    ]
    with engine.connect() as connection:
        rows = connection.execute(select(tallies.c.reason, tallies.c.n).where(tallies.c.job_id == job_id)).all()
        assert {(row.reason, row.n) for row in rows} == {("", 27), ("TIMEOUT", 9)}
    recounts: list[dict[str, Any]] = [{"n_ok": 0}, {"n_err": 0}, {"reasons": {}}, {"tallied": False}]
    for values in recounts:
        with engine.connect() as connection, pytest.raises(IntegrityError, match="is tallied"):
            connection.execute(update(chunks).where(chunks.c.job_id == job_id, chunks.c.tallied).values(values))
    with engine.connect() as connection, pytest.raises(IntegrityError, match="violates check"):
        connection.execute(update(chunks).where(chunks.c.job_id == job_id, ~chunks.c.tallied).values(tallied=True))


def test_a_tally_that_does_not_commit_adds_nothing(engine: Engine) -> None:
    job_id = done_job(engine)
    with engine.connect() as connection:
        assert connection.execute(*tally.add_tallies(most=5)).scalar_one() == 5
        assert counts(connection, job_id) == by_hand(connection, job_id)
        connection.rollback()
    assert check(engine, job_id)["succeeded"] == 27
    assert add_tallies(engine) == 9


def test_a_tally_under_way_holds_up_no_ending(engine: Engine) -> None:
    """A finish, a claim and a cancel beside an open transaction that tallies the same job; a deletion waits for it."""
    finished, cancelled = done_job(engine), done_job(engine)
    with engine.connect() as tallying:
        assert tallying.execute(*tally.add_tallies(most=1000)).scalar_one() == 18
        with engine.begin() as other:
            other.execute(text("SET LOCAL lock_timeout = 1"))
            for row in other.execute(*lease.claim(finished, 9, worker="w", lease_seconds=60)):
                fence = lease.Fence(finished, 9, row.fence)
                other.execute(*lease.record(fence, lease_seconds=60, more_ok=SIZE, reasons={}, inflight=[])).one()
                other.execute(*lease.complete(fence)).one()
        with engine.begin() as other:
            other.execute(text("SET LOCAL lock_timeout = 1"))
            assert other.execute(*stop.finish_job(finished)).one().state == JobState.PARTIALLY_SUCCEEDED
            assert stop_job(other, cancelled, JobReason.CANCELLED_BY_CLIENT)
        tallying.commit()
    assert check(engine, finished)["succeeded"] == 27 + SIZE
    assert check(engine, cancelled)["cancelled"] == SIZE
    assert add_tallies(engine) == 1  # the last chunk of one; that of the other was never claimed


def test_a_tally_passes_what_others_hold(engine: Engine) -> None:
    """Locked chunks and a job under deletion are left for the next time, without waiting."""
    job_id, deleted, soon = done_job(engine), done_job(engine), done_job(engine)
    with engine.connect() as other:
        other.execute(
            select(chunks.c.chunk_no).where(chunks.c.job_id == job_id, chunks.c.chunk_no < 3).with_for_update()
        ).all()
        other.execute(delete(jobs).where(jobs.c.id == deleted))
        # A deletion that has not reached the chunks yet: holding them, the tally would wait for it and it for the tally
        other.execute(select(jobs.c.id).where(jobs.c.id == soon).with_for_update()).all()
        with engine.begin() as tallying:
            tallying.execute(text("SET LOCAL lock_timeout = 1"))
            assert tallying.execute(*tally.add_tallies(most=1000)).scalar_one() == 6
        other.commit()
    with engine.connect() as connection:
        assert connection.execute(select(func.count()).where(tallies.c.job_id == deleted)).scalar_one() == 0
    assert add_tallies(engine) == 3 + 9
    assert check(engine, job_id)["failed"] == check(engine, soon)["failed"] == 9
    with engine.begin() as connection:  # a job takes its tallies with it
        connection.execute(delete(jobs).where(jobs.c.id == job_id))
        assert connection.execute(select(func.count()).where(tallies.c.job_id == job_id)).scalar_one() == 0


def test_two_leaders_tally_beside_workers_and_endings(engine: Engine) -> None:
    """Real races on eight jobs: nothing deadlocks, every poll adds up, nothing is counted twice or lost."""
    made = [submit(engine, [f"s3://b/{i}" for i in range(N_ITEMS)], size=SIZE) for _ in range(8)]
    over = threading.Event()

    def until_over(act: Callable[[], Any]) -> int:
        rounds = 0
        while not over.is_set():
            act()
            rounds += 1
        return rounds

    def poll() -> None:
        with engine.connect() as connection:
            for job_id in made:
                assert sum(counts(connection, job_id)[0].values()) == N_ITEMS

    def work(job_id: UUID) -> None:
        for chunk_no in range(N_ITEMS // SIZE):
            end_chunk(engine, job_id, chunk_no)
            finish(engine, job_id)

    def work_then_cancel(job_id: UUID) -> None:
        for chunk_no in range(6):
            end_chunk(engine, job_id, chunk_no)
        stop_for(engine, job_id, JobReason.CANCELLED_BY_CLIENT)

    with ThreadPoolExecutor(7) as pool:
        beside = [
            pool.submit(until_over, act) for act in (lambda: add_tallies(engine, 7), lambda: add_tallies(engine), poll)
        ]
        ends = [pool.submit(work if i % 2 else work_then_cancel, job_id) for i, job_id in enumerate(made)]
        try:
            for end in ends:
                end.result(timeout=60)
        finally:
            over.set()
        assert all(future.result(timeout=60) > 0 for future in beside)
    add_tallies(engine)
    for i, job_id in enumerate(made):
        shown = check(engine, job_id)
        assert shown["failed"] == (10 if i % 2 else 6) and shown["cancelled"] == (0 if i % 2 else 16)
        with engine.connect() as connection:
            ended = select(func.count()).where(
                chunks.c.job_id == job_id, ~chunks.c.tallied, chunks.c.state.in_(FINAL_CHUNK_STATES), chunks.c.n_err > 0
            )
            assert connection.execute(ended).scalar_one() == 0


def test_a_list_of_jobs_shows_the_same_counts(engine: Engine) -> None:
    job_id = done_job(engine)
    add_tallies(engine, 5)
    with engine.connect() as connection:
        rows = connection.execute(*sql.list_jobs("default", state=None, labels={}, before=None, limit=1000)).all()
        shown = next(row for row in rows if row.id == job_id)
        assert {s.value: getattr(shown, s.value) for s in ItemState} == by_hand(connection, job_id)[0]


def test_a_poll_reads_what_is_not_tallied_and_no_more(engine: Engine) -> None:
    """Of a large job: two leased chunks and what ended since the last tally, by the partial index."""
    job_id = submit(engine, ["s3://b/k"] * 4000, size=SIZE)
    for chunk_no in range(20):
        end_chunk(engine, job_id, chunk_no)
    add_tallies(engine)
    for chunk_no in (20, 21):
        with engine.begin() as connection:
            connection.execute(*lease.claim(job_id, chunk_no, worker="w", lease_seconds=60)).one()
    end_chunk(engine, job_id, 22)
    with engine.begin() as connection:
        connection.execute(text("ANALYZE chunks"))
        rows = connection.execute(select(chunks.c.chunk_no).where(chunks.c.job_id == job_id, tally.UNTALLIED)).all()
        assert sorted(row.chunk_no for row in rows) == [20, 21, 22]
        poll, values = sql.job("default", job_id)
        assert isinstance(poll, Select) and isinstance(values, dict)
        written = poll.params(values).compile(connection, compile_kwargs={"literal_binds": True})
        explain = "EXPLAIN (ANALYZE, BUFFERS) " + str(written).replace("%%", "%")
        plan = "\n".join(connection.exec_driver_sql(explain).scalars())
    assert "chunks_untallied" in plan and "Seq Scan on chunks" not in plan
    assert check(engine, job_id)["running"] == 8
