"""Measure what it costs to remove old jobs: rows by rows, and a month by a DROP.

    python -m bench.retention

A job of 200,000 items with small results, and one of 10,000 items with results of 60 kB, as sixty masks have. Postgres
is durable, and the dispatcher removes them as it would in use. The same rows in a past month are dropped.
"""

import json
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

from sqlalchemy import Engine, text

from bench.protocol import service
from db.engine import single_statements, sync_engine
from db.ids import new_job_id
from db.partitions import drop_month, first_uuid

KEPT = Path(__file__).with_name("results") / "retention.json"
SIZES = ((200_000, 200), (10_000, 60_000))
PAST = datetime(2020, 2, 1, tzinfo=UTC)
_JOB = (
    "INSERT INTO jobs (id, tenant_id, state, model, task, input, n_items, chunk_size, started_at, ended_at) "
    "VALUES (:job, 'default', 'succeeded', 'null', '{}', '{}', :n, 16, now(), now())",
    "INSERT INTO items (job_id, index, custom_id, image) SELECT :job, n, n::text, 's3://images/' || n || '.jpg' "
    "FROM generate_series(0, :n - 1) n",
    "INSERT INTO chunks (job_id, chunk_no, lo, hi, state, fence, n_ok) "
    "SELECT :job, n, n * 16, (n + 1) * 16, 'done', 1, 16 FROM generate_series(0, :n / 16 - 1) n",
    # Bytes that do not compress, as counts hardly do.
    "INSERT INTO results (job_id, index, state, fence, attempt, height, width, masks, rle, fingerprint) "
    "SELECT :job, n, 'succeeded', 1, 1, 32, 32, '{}', b.bytes, decode(md5(n::text), 'hex') "
    "FROM generate_series(0, :n - 1) n, LATERAL (SELECT string_agg(sha512((n || ' ' || i)::bytea), NULL) AS bytes "
    "FROM generate_series(1, greatest(1, :bytes / 64)) i) b",
)


def rows(engine: Engine, n: int, size: int) -> dict[str, object]:
    """Age a job by a week, and wait until the dispatcher has removed it."""
    job = new_job_id()
    _store(engine, job, n, size)
    before = _megabytes(engine)
    with engine.connect() as connection:
        connection.execute(text("CHECKPOINT"))
        wal = connection.execute(text("SELECT pg_current_wal_lsn()")).scalar_one()
        connection.execute(text("UPDATE jobs SET ended_at = now() - interval '7 days' WHERE id = :job"), {"job": job})
        _wait(engine, "SELECT tenant_id IS NULL FROM jobs WHERE id = :job", job)
        began = time.monotonic()
        _wait(engine, "SELECT count(*) = 0 FROM jobs WHERE id = :job", job)
        taken = time.monotonic() - began
        written = connection.execute(text("SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), :wal)"), {"wal": wal})
        mb = float(written.scalar_one()) / 2**20
        vacuum = time.monotonic()
        connection.execute(text("VACUUM items, results, chunks"))
    return {
        "items": n,
        "bytes": size,
        "seconds": round(taken, 1),
        "items_per_second": round(n / taken),
        "wal_mb": round(mb),
        "mb": before,
        "mb_after_vacuum": _megabytes(engine),
        "vacuum_seconds": round(time.monotonic() - vacuum, 1),
    }


def month(engine: Engine, n: int, size: int) -> dict[str, object]:
    """Drop the partitions of a month that hold the same rows."""
    lo, hi = first_uuid(PAST), first_uuid(datetime(2020, 3, 1, tzinfo=UTC))
    with engine.connect() as connection:
        for table in ("items", "results"):
            part = f"CREATE TABLE {table}_y2020m02 PARTITION OF {table} FOR VALUES FROM ('{lo}') TO ('{hi}')"
            connection.execute(text(part))
    _store(engine, lo, n, size)
    with engine.connect() as connection:
        connection.execute(text("UPDATE jobs SET tenant_id = NULL WHERE id = :job"), {"job": lo})
        began = time.monotonic()
        drop_month(connection, PAST, lock_seconds=5)
        taken = time.monotonic() - began
        _wait(engine, "SELECT count(*) = 0 FROM jobs WHERE id = :job", lo)
    return {"items": n, "bytes": size, "drop_ms": round(taken * 1000, 1)}


def _store(engine: Engine, job: UUID, n: int, size: int) -> None:
    with engine.connect() as connection:
        for sql in _JOB:
            connection.execute(text(sql), {"job": job, "n": n, "bytes": size})
        connection.execute(text("ANALYZE"))


def _wait(engine: Engine, sql: str, job: UUID, seconds: float = 600) -> None:
    until = time.monotonic() + seconds
    with engine.connect() as connection:
        while connection.execute(text(sql), {"job": job}).scalar() is not True:
            if time.monotonic() > until:
                raise SystemExit(f"not within {seconds:.0f} s: {sql}")
            time.sleep(0.02)


def _megabytes(engine: Engine) -> dict[str, int]:
    sql = "SELECT sum(pg_total_relation_size(inhrelid))::float FROM pg_inherits WHERE inhparent = cast(:t AS regclass)"
    with engine.connect() as connection:
        found = {t: connection.execute(text(sql), {"t": t}).scalar_one() for t in ("items", "results")}
    return {table: round(size / 2**20) for table, size in found.items()}


def main() -> int:
    with service({"MASKWORKS_RETENTION_DAYS": "1"}) as running:
        owner = sync_engine(running.stores.superuser_url, pool_size=4)
        engine = single_statements(owner)
        found = {"rows": [rows(engine, *size) for size in SIZES], "month": [month(engine, *size) for size in SIZES]}
        owner.dispose()
    print(json.dumps(found, indent=1))
    KEPT.write_text(json.dumps(found, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
