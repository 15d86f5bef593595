"""`python -m bench.reach`: what an autoscaler's question reads beside jobs of 10,000 to a million items.

Each job is half done, as the service leaves it: 64 chunks are in work and 200 ended ones are not tallied yet. Blocks of
8 kB are those of EXPLAIN (ANALYZE, BUFFERS), before and after a VACUUM. It prints a table and writes
bench/results/reach.json.
"""

import json
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Connection, Engine, text

from db.engine import single_statements, sync_engine
from db.ids import new_job_id
from db.migrate import migrate
from deploy.local.stores import stores

KEPT: Final = Path(__file__).with_name("results") / "reach.json"
SIZES: Final = (10_000, 100_000, 1_000_000)
CHUNK: Final = 16
QUESTION: Final = "SELECT wanted_workers('null')"
_JOB: Final = (
    "INSERT INTO jobs (id, tenant_id, state, model, task, input, n_items, chunk_size, started_at, deadline) VALUES "
    "(:job, 'default', 'running', 'null', '{\"type\": \"auto\"}', '{}', :n, :size, now(), now() + interval '1 day')",
    "INSERT INTO items (job_id, index, custom_id, image) SELECT :job, n, n::text, 's3://images/' || n || '.jpg' "
    "FROM generate_series(0, :n - 1) n",
    "INSERT INTO chunks (job_id, chunk_no, lo, hi) SELECT :job, n, n * :size, (n + 1) * :size "
    "FROM generate_series(0, :n / :size - 1) n",
    "ANALYZE",
    "UPDATE chunks SET state = 'leased', fence = 1, worker = 'w', lease_until = now() + interval '1 hour' "
    "WHERE job_id = :job AND chunk_no < :done + 64",
    "UPDATE chunks SET state = 'done', n_ok = :size, worker = NULL, lease_until = NULL "
    "WHERE job_id = :job AND chunk_no < :done",
    "UPDATE chunks SET tallied = true WHERE job_id = :job AND chunk_no < :done - 200",
    "INSERT INTO tallies (job_id, reason, n) VALUES (:job, '', (:done - 200) * cast(:size AS bigint))",
    "INSERT INTO results (job_id, index, state, fence, attempt, height, width, masks, rle, fingerprint) "
    "SELECT :job, n, 'succeeded', 1, 1, 32, 32, '{}', '', decode(md5(n::text), 'hex') "
    "FROM generate_series(0, :done * cast(:size AS bigint) - 1) n",
    "INSERT INTO paces (worker, model, task, items, seconds) VALUES ('w', 'null', 'auto', 100, 10)",
)


def main() -> int:
    found = []
    print(
        "| items | state of the tables | blocks, first time | blocks, later | ms |", "|---|---|---|---|---|", sep="\n"
    )
    for row in _rows():
        found.append(row)
        print("|", " | ".join(f"{value:,}" if isinstance(value, int) else str(value) for value in row.values()), "|")
    KEPT.write_text(json.dumps(found, indent=1) + "\n")
    return 0


def _rows() -> Iterator[dict[str, Any]]:
    with tempfile.TemporaryDirectory(prefix="maskworks-reach-") as folder:
        Path(folder).chmod(0o711)
        with stores(Path(folder) / "stores", fast=True) as running:
            migrate(running.database_url)
            engine = sync_engine(running.database_url)
            for items in SIZES:
                yield from _beside(single_statements(engine), items)
            engine.dispose()


def _beside(engine: Engine, items: int) -> Iterator[dict[str, Any]]:
    with engine.connect() as connection:
        connection.execute(text("TRUNCATE jobs, paces CASCADE"))
        values = {"job": new_job_id(), "n": items, "size": CHUNK, "done": items // CHUNK // 2}
        for statement in _JOB:
            connection.execute(text(statement), values)
        for state in ("just written", "vacuumed"):
            if state == "vacuumed":
                connection.execute(text("VACUUM ANALYZE"))
            first, later, ms = _explained(connection)
            yield {"items": items, "tables": state, "blocks_first": first, "blocks_later": later, "ms": ms}


def _explained(connection: Connection) -> tuple[int, int, float]:
    """Blocks of the first time, which marks dead entries of indexes, the most of nine more, and their middle time."""
    runs = []
    for _ in range(10):  # Postgres may settle on another plan from the sixth on
        (plan,) = connection.execute(text(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {QUESTION}")).scalar_one()
        top = plan["Plan"]
        runs.append((top["Shared Hit Blocks"] + top["Shared Read Blocks"], round(plan["Execution Time"], 2)))
    return runs[0][0], max(blocks for blocks, _ in runs[1:]), sorted(ms for _, ms in runs[1:])[4]


if __name__ == "__main__":
    sys.exit(main())
