"""A submitted job, for tests of what comes after the front door: the rows that a submit writes, nothing else."""

import io
from collections.abc import Sequence
from typing import Any
from uuid import UUID

import numpy as np
from PIL import Image
from sqlalchemy import Connection, Engine, insert, select, text

from db.ids import new_job_id
from db.statements.ingest import cut_chunks
from db.states import JobState
from db.tables import chunks, items, jobs, outbox, results


def picture(height: int = 32, width: int = 32, seed: int = 0, kind: str = "JPEG") -> bytes:
    """An encoded image of noise."""
    pixels = np.random.default_rng(seed).integers(0, 255, (height, width, 3), dtype=np.uint8)
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, format=kind)
    return out.getvalue()


def submit(
    engine: Engine,
    images: Sequence[str],
    *,
    model: str = "null",
    task: dict[str, Any] | None = None,
    prompts: Sequence[Any] | None = None,
    shared_prompts: list[Any] | None = None,
    size: int = 16,
    **columns: Any,
) -> UUID:
    """A pending job over `images`, chunks of `size` items."""
    job_id = new_job_id()
    row = {"id": job_id, "tenant_id": "default", "state": JobState.PENDING, "model": model}
    row |= {
        "task": task or {"type": "auto"},
        "input": {"items": len(images)},
        "n_items": len(images),
        "chunk_size": size,
    }
    given = prompts or [None] * len(images)
    with engine.begin() as connection:
        connection.execute(insert(jobs).values(row | columns | {"prompts": shared_prompts}))
        rows = [
            {"job_id": job_id, "index": i, "custom_id": str(i), "image": image, "prompts": prompt}
            for i, (image, prompt) in enumerate(zip(images, given, strict=True))
        ]
        connection.execute(insert(items), rows)
        connection.execute(*cut_chunks(job_id))
    return job_id


def job_row(engine: Engine, job_id: UUID) -> Any:
    with engine.connect() as connection:
        return connection.execute(select(jobs).where(jobs.c.id == job_id)).one()


def chunk_rows(engine: Engine, job_id: UUID) -> list[Any]:
    with engine.connect() as connection:
        return list(connection.execute(select(chunks).where(chunks.c.job_id == job_id).order_by(chunks.c.chunk_no)))


def result_rows(engine: Engine, job_id: UUID) -> list[Any]:
    with engine.connect() as connection:
        return list(connection.execute(select(results).where(results.c.job_id == job_id).order_by(results.c.index)))


def events(connection: Connection, job_id: UUID) -> int:
    return len(connection.execute(select(outbox).where(outbox.c.job_id == job_id)).all())


def check_invariants(engine: Engine, job_id: UUID) -> None:
    """After the end of a job: one result an item and none else, counts add up, one event, no lease (I1-I4, I8)."""
    job = job_row(engine, job_id)
    written = [row.index for row in result_rows(engine, job_id)]
    assert len(set(written)) == len(written) and set(written) <= set(range(job.n_items))
    rows = chunk_rows(engine, job_id)
    assert sum(c.n_ok + c.n_err for c in rows) == len(written)
    assert sum(sum(c.reasons.values()) for c in rows) == sum(c.n_err for c in rows)
    assert all(c.state in {"done", "dead", "cancelled"} for c in rows), [c.state for c in rows]
    if job.state in {"succeeded", "partially_succeeded"}:
        assert len(written) == job.n_items
    with engine.connect() as connection:
        assert events(connection, job_id) == 1
        assert connection.execute(text("SELECT count(*) FROM chunks WHERE state = 'leased'")).scalar_one() == 0
