"""How much of the database a statement touches, beside one large job, with statistics: no more than what it names.

What is read on every poll, claim and tick must not grow with the job. Postgres plans anew once it has statistics, so a
statement that is quick on an empty database may come to read a whole table; blocks touched show that, seconds do not.
"""

from collections.abc import Iterator
from hashlib import md5
from uuid import UUID

import pytest
from sqlalchemy import Connection, Engine, text

from db.engine import single_statements, sync_engine
from db.ids import new_job_id
from db.statements import dispatch, export, items, lease, output, progress, reap, reuse, scaling, stop, tally
from db.statements import jobs as sql
from db.statements.bound import Bound

N_ITEMS, SIZE = 60_000, 16
DONE = N_ITEMS // SIZE // 2
"""Chunks that are done, with a result for each of their items; the next two are leased, eight are dispatched."""

_LARGE = (
    "INSERT INTO jobs (id, tenant_id, state, model, task, input, n_items, chunk_size, started_at, max_failure_ratio) "
    "VALUES (:job, 'default', 'running', 'null', '{\"type\": \"auto\"}', '{\"items\": 1}', :n, :size, now(), 0.5)",
    "INSERT INTO items (job_id, index, custom_id, image) SELECT :job, n, n::text, 's3://images/' || n || '.jpg' "
    "FROM generate_series(0, :n - 1) n",
    "INSERT INTO chunks (job_id, chunk_no, lo, hi, state, fence, n_ok, tallied) "
    "SELECT :job, n, n * :size, (n + 1) * :size, 'done', 1, :size, true FROM generate_series(0, :done - 1) n",
    "INSERT INTO chunks (job_id, chunk_no, lo, hi, state, fence, worker, lease_until) "
    "SELECT :job, n, n * :size, (n + 1) * :size, 'leased', 1, 'w', now() + interval '1 hour' "
    "FROM generate_series(:done, :done + 1) n",
    "INSERT INTO chunks (job_id, chunk_no, lo, hi, state, dispatched_at) "
    "SELECT :job, n, n * :size, (n + 1) * :size, 'dispatched', now() FROM generate_series(:done + 2, :done + 9) n",
    "INSERT INTO chunks (job_id, chunk_no, lo, hi) "
    "SELECT :job, n, n * :size, (n + 1) * :size FROM generate_series(:done + 10, :n / :size - 1) n",
    "INSERT INTO results (job_id, index, state, fence, attempt, height, width, masks, rle, fingerprint) "
    "SELECT :job, n, 'succeeded', 1, 1, 32, 32, '{}', '', decode(md5(n::text), 'hex') "
    "FROM generate_series(0, :done * :size - 1) n",
    "INSERT INTO tallies (job_id, reason, n) VALUES (:job, '', :done * :size)",
    "INSERT INTO progress_samples (job_id, times, finished) VALUES (:job, '{2020-01-01}', '{0}')",
    "INSERT INTO outputs (job_id, uri, formats) VALUES (:job, 's3://b/', '{coco}')",
    "INSERT INTO suspects (job_id, index) SELECT :job, n FROM generate_series(0, 2000) n",
)
_NO_AUTOVACUUM = """
DO $$ DECLARE t regclass; BEGIN
  FOR t IN SELECT oid FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace LOOP
    EXECUTE format('ALTER TABLE %s SET (autovacuum_enabled = false)', t);
  END LOOP;
END $$"""
"""The blocks that autovacuum asks for would count, too."""
_OTHERS, _OTHER_ITEMS = 12, 2500
_OTHER = (
    "INSERT INTO jobs (id, tenant_id, state, model, task, input, n_items, chunk_size, started_at, ended_at) "
    "VALUES (:job, 'default', 'succeeded', 'null', '{\"type\": \"auto\"}', '{\"items\": 1}', :n, :size, now(), now())",
    "INSERT INTO items (job_id, index, custom_id, image) SELECT :job, n, n::text, 's3://images/' || n || '.jpg' "
    "FROM generate_series(0, :n - 1) n",
    "INSERT INTO results (job_id, index, state, fence, attempt, height, width, masks, rle, fingerprint) "
    "SELECT :job, n, 'succeeded', 1, 1, 32, 32, '{}', '', decode(md5(n::text), 'hex') "
    "FROM generate_series(0, :n - 1) n",
)


@pytest.fixture(scope="module")
def engine(module_database: str) -> Iterator[Engine]:
    engine = sync_engine(module_database)
    yield engine
    engine.dispose()


@pytest.fixture(scope="module", params=["statistics from before the job", "statistics with it"])
def job(request: pytest.FixtureRequest, engine: Engine) -> UUID:
    fresh = request.param == "statistics with it"
    job = new_job_id()
    values = {"job": job, "n": N_ITEMS, "size": SIZE, "done": DONE}
    with single_statements(engine).connect() as connection:
        connection.execute(text(_NO_AUTOVACUUM))
        for other in [new_job_id() for _ in range(_OTHERS)]:
            for sql in _OTHER:
                connection.execute(text(sql), {"job": other, "n": _OTHER_ITEMS, "size": SIZE})
        connection.execute(text("VACUUM ANALYZE"))
        for sql in _LARGE:
            connection.execute(text(sql), values)
        if fresh:
            connection.execute(text("VACUUM ANALYZE"))
    return job


def _statements(job: UUID) -> dict[str, tuple[Bound, int]]:
    """What runs again and again, and how many blocks of 8 kB it may touch. The job has thousands."""
    middle = DONE * SIZE
    held = lease.Fence(job, DONE, 1)
    copy = reuse.Copy(middle, job, middle - 1, {"fetch": 1.0})
    deep = {"start": middle - 500, "rows": 16}
    return {
        "the items of a claim": (lease.missing_items(job, lo=middle, hi=middle + SIZE), 150),
        "the items of a claim made again": (lease.missing_items(job, lo=middle - SIZE, hi=middle), 150),
        "a poll": (sql.job("default", job), 60),
        "an item": (items.item(job, middle - 1), 40),
        "a page of items": (items.item_page(job, None, start=middle - 10, limit=20), 400),
        "a page of an export": (export.all_items(job, **deep), 400),
        "a page of an export of a running job": (export.items_with_result(job, **deep), 400),
        "a page of masks": (export.succeeded_masks(job, **deep), 400),
        "a page of the items that failed": (export.failed_items(job, start=middle - 5, rows=16), 400),
        "the windows": (dispatch.windows(alive_seconds=10.0), 60),
        "filling the window": (dispatch.fill_window("null", room=8, job_room=8), 120),
        "what waits in Redis": (dispatch.announced_chunks(age_seconds=0.0), 60),
        "messages to send again": (dispatch.announce_again(job, [DONE + 2, DONE + 3]), 60),
        "a claim": (lease.claim(job, DONE + 5, worker="w", lease_seconds=30.0), 40),
        "a heartbeat": (lease.renew(held, lease_seconds=30.0), 40),
        "an admission": (lease.admit(held, lease_seconds=30.0, inflight=[middle], alone=False), 40),
        "an earlier result": (reuse.earlier("default", md5(b"7").digest()), 120),
        "an earlier result that there is not": (reuse.earlier("default", md5(b"no").digest()), 40),
        "an earlier result taken over": (reuse.copy_results(job, fence=1, attempt=1, copies=[copy]), 60),
        "a batch's counts": (lease.record(held, lease_seconds=30.0, more_ok=1, reasons={}, inflight=[]), 40),
        "a chunk given back": (lease.give_back(held), 60),
        "a chunk taken back": (reap.take_back(job, DONE, stalls=1, backoff_seconds=1.0), 60),
        "a chunk's end": (stop.finish_job(job), 20),
        "outputs that wait": (output.waiting_outputs(of_tenant=4), 40),
        "the end of an output's file": (output.next_stop(job, start=middle - 500, rows=100, weight=1e9), 800),
        "the tally": (tally.add_tallies(most=1000), 60),
        "a sample of progress": (progress.sample(spacing_seconds=30.0, most=1000), 80),
        "samples of jobs that have ended": (progress.forget_samples(), 40),
        "leases that ran out": (reap.expired_leases(limit=100), 40),
        "jobs that have ended": (reap.unfinished_jobs(), 40),
        "what is left": (scaling.work_left(), 250),
        "jobs by state": (scaling.unfinished_jobs(), 40),
        "jobs that fail": (reap.failing_jobs(), 60),
        "jobs that are overdue": (reap.overdue_jobs(), 40),
    }


_NAMES = list(_statements(new_job_id()))


@pytest.mark.parametrize("name", _NAMES)
def test_a_statement_touches_what_it_names(engine: Engine, job: UUID, name: str) -> None:
    """The first time, and once it is prepared and Postgres may have settled on a plan for all values."""
    statement, most = _statements(job)[name]
    touched = []
    with engine.connect() as connection:
        for _ in range(20):  # psycopg prepares from the sixth on, Postgres plans five of those anew
            before = _blocks(connection)
            _run(connection, statement)
            touched.append(_blocks(connection) - before)
    assert max(touched) <= most


def _run(connection: Connection, statement: Bound) -> None:
    """Rolled back, so that the next run finds the same."""
    found = connection.execute(*statement)
    if found.returns_rows:
        found.all()
    connection.rollback()


def _blocks(connection: Connection) -> int:
    """Blocks of tables and their indexes that this database's backends have asked for so far."""
    connection.execute(text("SELECT pg_stat_force_next_flush()"))
    connection.rollback()
    counted = text(
        "SELECT sum(heap_blks_hit + heap_blks_read + coalesce(idx_blks_hit + idx_blks_read, 0))::bigint "
        "FROM pg_statio_user_tables"
    )
    found: int = connection.execute(counted).scalar_one()
    connection.rollback()
    return found
