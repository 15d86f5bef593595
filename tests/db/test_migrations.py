"""From each revision to the next, over rows that the release before wrote."""

from collections.abc import Callable, Iterator
from typing import Any
from uuid import UUID

import pytest
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, create_engine, text
from sqlalchemy.exc import OperationalError

from db import migrate
from db.engine import sync_engine
from db.ids import new_job_id
from db.statements import annotations, tally
from db.statements import jobs as sql
from db.states import ItemState

OLD_JOB = text(
    "INSERT INTO jobs (id, tenant_id, state, model, task, input, n_items, chunk_size, started_at, ended_at) "
    "VALUES (:id, 'default', :state, 'null', '{}', '{}', :n, 4, now(), CASE WHEN :final THEN now() END)"
)
OLD_CHUNK = text(
    "INSERT INTO chunks (job_id, chunk_no, lo, hi, state, fence, n_ok, n_err, reasons, worker, lease_until) "
    "VALUES (:job, :no, :no * 4, :no * 4 + 4, :state, :fence, :ok, :err, CAST(:reasons AS jsonb), "
    "CASE WHEN :held THEN 'w' END, CASE WHEN :held THEN now() END)"
)
# What GET of a job counted at revision 0001: every chunk row.
OLD_COUNTS = text(
    """
    SELECT coalesce(sum(n_ok), 0)::int AS succeeded, coalesce(sum(n_err), 0)::int AS failed,
      coalesce(sum(hi - lo - n_ok - n_err) FILTER (WHERE state IN ('ready', 'dispatched')), 0)::int AS pending,
      coalesce(sum(hi - lo - n_ok - n_err) FILTER (WHERE state = 'leased'), 0)::int AS running,
      coalesce(sum(hi - lo - n_ok - n_err) FILTER (WHERE state = 'cancelled'), 0)::int AS given_up
    FROM chunks WHERE job_id = :job
    """
)
# (state, fence, n_ok, n_err): each chunk as 0001 could leave it, never claimed and claimed before
CHUNKS = {
    "running": [
        ("done", 1, 4, 0), ("done", 3, 1, 3), ("dead", 8, 0, 4), ("leased", 1, 0, 0), ("leased", 4, 1, 1),
        ("ready", 0, 0, 0), ("ready", 2, 2, 1), ("ready", 0, 0, 0),
    ],
    "cancelled": [("done", 1, 3, 1), ("cancelled", 1, 0, 0), ("cancelled", 2, 1, 1), ("cancelled", 3, 0, 0)],
    "expired": [("done", 1, 4, 0), ("cancelled", 1, 0, 0), ("cancelled", 4, 2, 1)],
    "succeeded": [("done", 1, 4, 0), ("done", 3, 4, 0)],
    "pending": [("ready", 0, 0, 0), ("ready", 0, 0, 0)],
    "ingesting": [],
}  # fmt: skip


@pytest.fixture
def at_0001(new_database: Callable[[], str]) -> Iterator[Engine]:
    engine = create_engine(new_database())
    with engine.begin() as connection:
        connection.execute(text("DROP SCHEMA public CASCADE"))
        connection.execute(text("CREATE SCHEMA public"))
        migrate.migrate_connection(connection, "0001")
    yield engine
    engine.dispose()


def add_old_job(connection: Connection, state: str) -> UUID:
    job_id, rows = new_job_id(), CHUNKS[state]
    final = state in ("cancelled", "expired", "succeeded")
    connection.execute(OLD_JOB, {"id": job_id, "state": state, "n": 4 * len(rows) or 12, "final": final})
    for no, (chunk_state, fence, ok, err) in enumerate(rows):
        values = {"job": job_id, "no": no, "state": chunk_state, "fence": fence, "ok": ok, "err": err}
        reasons = f'{{"TIMEOUT": {err}}}' if err else "{}"
        connection.execute(OLD_CHUNK, values | {"held": chunk_state == "leased", "reasons": reasons})
    return job_id


def old_counts(connection: Connection, job_id: UUID) -> dict[str, int]:
    return dict(connection.execute(OLD_COUNTS, {"job": job_id}).one()._mapping)


def new_counts(connection: Connection, job_id: UUID) -> Any:
    return connection.execute(*sql.job("default", job_id)).one()


def test_counts_are_the_same_before_and_after_tallies(at_0001: Engine) -> None:
    with at_0001.begin() as connection:
        made = {state: add_old_job(connection, state) for state in CHUNKS}
        before = {state: old_counts(connection, job_id) for state, job_id in made.items()}
    migrate.migrate(at_0001.url.render_as_string(hide_password=False))
    engine = sync_engine(at_0001.url.render_as_string(hide_password=False))

    def check() -> None:
        with engine.connect() as connection:
            for state, job_id in made.items():
                expected, row = before[state], new_counts(connection, job_id)
                assert old_counts(connection, job_id) == expected  # the release before goes on reading the same
                if state == "ingesting":
                    expected = expected | {"pending": 12}
                assert (row.succeeded, row.failed, row.running, row.pending) == (
                    expected["succeeded"], expected["failed"], expected["running"], expected["pending"],
                )  # fmt: skip
                assert row.cancelled + row.expired == expected["given_up"]
                assert {f["reason"]: f["count"] for f in row.failures or []} == (
                    {"TIMEOUT": expected["failed"]} if expected["failed"] else {}
                )
                assert sum(getattr(row, s.value) for s in ItemState) == row.n_items

    check()
    added = 0
    with engine.begin() as connection:
        while more := connection.execute(*tally.add_tallies(most=3)).scalar_one():
            added += more
    assert added == 3 + 3 + 2 + 2
    check()
    engine.dispose()


def test_the_release_before_goes_on_writing(at_0001: Engine) -> None:
    """Its rows lack the new columns; what it ends is tallied like the rest."""
    migrate.migrate(at_0001.url.render_as_string(hide_password=False))
    with at_0001.begin() as connection:
        job_id = add_old_job(connection, "running")
        connection.execute(
            text(
                "UPDATE chunks SET state = 'done', n_ok = 4, worker = NULL, lease_until = NULL "
                "WHERE job_id = :job AND chunk_no = 3"
            ),
            {"job": job_id},
        )
        assert connection.execute(*tally.add_tallies(most=10)).scalar_one() == 4
        connection.execute(text("DELETE FROM jobs WHERE id = :job"), {"job": job_id})
        assert connection.execute(text("SELECT count(*) FROM tallies")).scalar_one() == 0


def test_annotations_of_the_release_before_are_counted(at_0001: Engine) -> None:
    """Those that it stored before the migration, and those that it stores, replaces and deletes after it."""
    store = text(
        "INSERT INTO annotations (tenant_id, id, image, height, width, counts, area, bbox, state, stage, annotator, "
        "clicks) VALUES ('default', :id, 's3://b/a', 2, 2, '04', 4, '{0,0,2,2}', 'accepted', 'assisted', 'a', 1) "
        "ON CONFLICT (tenant_id, id) DO UPDATE SET state = 'rejected'"
    )
    ids = [{"id": new_job_id()} for _ in range(4)]

    def counted(connection: Connection) -> int:
        return int(connection.execute(*annotations.count("default")).scalar_one())

    with at_0001.begin() as connection:
        migrate.migrate_connection(connection, "0020")
        connection.execute(store, ids[:2])
    migrate.migrate(at_0001.url.render_as_string(hide_password=False))
    with at_0001.begin() as connection:
        assert counted(connection) == 2
        connection.execute(store, ids)
        assert counted(connection) == 4
        connection.execute(text("DELETE FROM annotations WHERE id = :id"), ids[:3])
        assert counted(connection) == 1


def test_a_table_in_use_fails_the_migration_and_keeps_the_revision(
    at_0001: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It must not wait behind a long reader with everybody behind it; run again it succeeds."""
    monkeypatch.setattr(migrate, "_LOCK_SECONDS", 0.05)
    url = at_0001.url.render_as_string(hide_password=False)
    with at_0001.connect() as reader:
        reader.execute(text("SELECT FROM chunks"))
        with pytest.raises(OperationalError, match="lock timeout"):
            migrate.migrate(url)
        assert reader.execute(text("SELECT version_num FROM alembic_version")).scalar_one() == "0001"
    migrate.migrate(url)
    with at_0001.connect() as connection:
        found = connection.execute(text("SELECT version_num FROM alembic_version")).scalar_one()
    assert found == migrate.head_revision()


def test_revisions_are_numbers_in_order() -> None:
    """`/readyz` compares them as numbers."""
    revisions = list(ScriptDirectory.from_config(migrate._config()).walk_revisions())[::-1]
    assert [r.revision for r in revisions] == [f"{n:04}" for n in range(1, len(revisions) + 1)]
