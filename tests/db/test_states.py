"""Python's states against the database's, and what the database refuses by itself."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from uuid import UUID

import pytest
from sqlalchemy import Connection, Engine, insert, text, update
from sqlalchemy.exc import IntegrityError

from db.engine import sync_engine
from db.ids import new_job_id, read_job_id, show_job_id
from db.limits import chunk_size
from db.migrate import migrate
from db.partitions import first_uuid
from db.states import (
    CHUNK_TRANSITIONS,
    FINAL_CHUNK_STATES,
    FINAL_JOB_STATES,
    JOB_TRANSITIONS,
    STOP_STATE,
    ChunkState,
    JobReason,
    JobState,
    ResultState,
)
from db.tables import chunks, jobs, metadata


@pytest.fixture(scope="module")
def engine(module_database: str) -> Iterator[Engine]:
    engine = sync_engine(module_database)
    yield engine
    engine.dispose()


def add_job(connection: Connection, state: JobState = JobState.PENDING) -> UUID:
    job_id = new_job_id()
    final = state in FINAL_JOB_STATES
    row = {"id": job_id, "tenant_id": "default", "state": state, "model": "null", "task": {}, "input": {}}
    row |= {"n_items": 3, "ended_at": text("now()") if final else None, "started_at": text("now()")}
    connection.execute(insert(jobs).values(row))
    return job_id


@pytest.mark.parametrize(
    ("enum", "states"), [("job_state", JobState), ("chunk_state", ChunkState), ("result_state", ResultState)]
)
def test_enums_are_the_databases(engine: Engine, enum: str, states: type[JobState]) -> None:
    with engine.connect() as connection:
        labels = connection.execute(text(f"SELECT unnest(enum_range(NULL::{enum}))::text")).scalars().all()
    assert labels == [state.value for state in states]


def test_every_state_has_its_transitions_and_its_reader() -> None:
    assert set(JOB_TRANSITIONS) == set(JobState) and set(CHUNK_TRANSITIONS) == set(ChunkState)
    assert set(STOP_STATE) == set(JobReason)
    assert all(state in FINAL_JOB_STATES for state in STOP_STATE.values())


def test_tables_are_the_databases_column_by_column(engine: Engine) -> None:
    with engine.connect() as connection:
        found = connection.execute(
            text(
                """
                SELECT c.relname, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull
                FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
                WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition
                  AND c.relname <> 'alembic_version'
                """
            )
        ).all()
    dialect = engine.dialect
    ours = {
        (table.name, column.name, column.type.compile(dialect).lower(), not column.nullable)
        for table in metadata.tables.values()
        for column in table.columns
    }
    assert {tuple(row) for row in found} == ours


@pytest.mark.parametrize("state", sorted(FINAL_JOB_STATES))
def test_a_final_job_stays(engine: Engine, state: JobState) -> None:
    with engine.connect() as connection:
        job_id = add_job(connection, state)
        with pytest.raises(IntegrityError, match="is final"):
            connection.execute(update(jobs).where(jobs.c.id == job_id).values(state="running", ended_at=None))


@pytest.mark.parametrize("state", sorted(FINAL_CHUNK_STATES))
def test_a_final_chunk_stays(engine: Engine, state: ChunkState) -> None:
    with engine.connect() as connection:
        job_id = add_job(connection)
        connection.execute(insert(chunks).values(job_id=job_id, chunk_no=0, lo=0, hi=3, state=state, n_ok=3))
        with pytest.raises(IntegrityError, match="is final"):
            connection.execute(update(chunks).where(chunks.c.job_id == job_id).values(state="ready"))


@pytest.mark.parametrize(
    "values",
    [
        {"n_ok": 4},
        {"n_ok": 2, "n_err": 2},
        {"state": "done", "n_ok": 2},
        {"state": "leased"},
        {"state": "ready", "worker": "w"},
        {"state": "dispatched"},
        {"inflight": [1]},
        {"lo": 3, "hi": 3},
    ],
)
def test_impossible_chunks_are_refused(engine: Engine, values: dict[str, object]) -> None:
    with engine.connect() as connection:
        row = {"job_id": add_job(connection), "chunk_no": 0, "lo": 0, "hi": 3, "state": "ready"} | values
        with pytest.raises(IntegrityError):
            connection.execute(insert(chunks).values(row))


def test_migrating_again_changes_nothing(new_database: Callable[[], str]) -> None:
    url = new_database()
    migrate(url)
    engine = sync_engine(url)
    with engine.connect() as connection:
        assert connection.execute(text("SELECT count(*) FROM tenants")).scalar_one() == 1
    engine.dispose()


def test_this_months_rows_land_in_this_months_partition(engine: Engine) -> None:
    with engine.connect() as connection:
        job_id = add_job(connection)
        connection.execute(
            text("INSERT INTO items (job_id, index, custom_id, image) VALUES (:job, 0, '0', 's3://b/k')"),
            {"job": job_id},
        )
        partition = connection.execute(text("SELECT tableoid::regclass::text FROM items")).scalar_one()
        month = connection.execute(
            text("SELECT to_char(now() AT TIME ZONE 'UTC', '\"items_y\"YYYY\"m\"MM')")
        ).scalar_one()
    assert partition == month


def test_job_ids_read_back_and_sort_by_time() -> None:
    earlier, later = new_job_id(), first_uuid(datetime(2100, 1, 1, tzinfo=UTC))
    assert read_job_id(show_job_id(earlier)) == earlier and earlier < later and earlier.version == 7
    assert read_job_id("job_zz") is None and read_job_id(earlier.hex) is None and read_job_id("job_" + "g" * 32) is None


@pytest.mark.parametrize(
    ("n", "prompted", "size"),
    [(1, False, 1), (64, False, 1), (65, False, 2), (10**6, False, 16), (10**6, True, 256), (640, True, 10)],
)
def test_small_jobs_spread_and_large_ones_stay_capped(n: int, prompted: bool, size: int) -> None:
    assert chunk_size(n, prompted=prompted) == size
