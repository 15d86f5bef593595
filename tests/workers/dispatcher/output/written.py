"""Jobs that have ended and want an output, and the output as a reader finds it in the bucket."""

import hashlib
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any
from uuid import UUID

import numpy as np
from sqlalchemy import Engine, insert, select, update

from db.ids import new_job_id, show_job_id
from db.mask_row import MaskRow
from db.statements.clock import now
from db.statements.ingest import cut_chunks
from db.statements.output import insert_output
from db.states import ChunkState, JobState, OutputState, ResultState
from db.tables import chunks, items, jobs, outputs, results, tenants
from model.masks.rle import area, bbox, encode
from tests.conftest import Bucket

SIZE = (30, 40)


@cache
def _masks(index: int, n: int) -> dict[str, Any]:
    rows, counts = [], b""
    for i in range(n):
        mask = np.zeros(SIZE, dtype=np.bool_)
        mask[i % 20 : i % 20 + 5, (index + i) % 30 : (index + i) % 30 + 7] = True
        rle = encode(mask)
        x, y, w, h = bbox(rle)
        length = len(rle["counts"])
        rows.append(MaskRow(area(rle), x, y, w, h, 0.75, 0.5, None, None, 0, 0, 40, 30, "p", len(counts), length))
        counts += rle["counts"].encode()
    return {"masks": rows, "rle": counts, "height": SIZE[0], "width": SIZE[1], "model": "null", "precision": "exact"}


def ended_job(
    engine: Engine,
    uri: str,
    formats: Sequence[str] = ("jsonl",),
    *,
    n: int = 20,
    n_masks: int = 3,
    failed: int = 0,
    state: JobState = JobState.SUCCEEDED,
    written: int | None = None,
    tenant: str = "default",
) -> UUID:
    """A job of n items that has ended: the first `failed` have failed, and those from `written` on have no result."""
    job_id, has = new_job_id(), n if written is None else written
    row = {"id": job_id, "tenant_id": tenant, "state": JobState.PENDING, "model": "null", "task": {"type": "auto"}}
    listed = [{"job_id": job_id, "index": i, "custom_id": f"c{i}", "image": f"s3://b/{i}.jpg"} for i in range(n)]
    base = {"job_id": job_id, "fence": 1, "attempt": 1}
    bad = {"state": ResultState.FAILED, "reason": "TIMEOUT", "detail": "late", "retryable": True}
    done = [
        base | {"index": i} | (bad if i < failed else {"state": ResultState.SUCCEEDED, **_masks(i % 2, n_masks)})
        for i in range(has)
    ]
    with engine.begin() as connection:
        connection.execute(insert(jobs).values(row | {"input": {}, "n_items": max(n, 1), "chunk_size": max(n, 1)}))
        connection.execute(*insert_output(job_id, uri, formats))
        if n:
            connection.execute(insert(items), listed)
            connection.execute(*cut_chunks(job_id))
        for result in done:
            connection.execute(insert(results), result)
        counts = {"n_ok": has - failed, "n_err": failed, "reasons": {"TIMEOUT": failed} if failed else {}, "fence": 1}
        ended = ChunkState.DONE if has == n else ChunkState.CANCELLED
        connection.execute(update(chunks).where(chunks.c.job_id == job_id).values(state=ended, **counts))
        # As the database wants it: started before it ended.
        connection.execute(update(jobs).where(jobs.c.id == job_id).values(started_at=now(), n_items=n or 1))
        connection.execute(
            update(jobs).where(jobs.c.id == job_id).values(state=state, ended_at=now(), n_items=n if n else 0)
        )
    return job_id


def new_tenant(engine: Engine, name: str) -> str:
    with engine.begin() as connection:
        connection.execute(insert(tenants).values(id=name, created_at=now()))
    return name


def output_row(engine: Engine, job_id: UUID) -> Any:
    with engine.connect() as connection:
        return connection.execute(select(outputs).where(outputs.c.job_id == job_id)).one()


def wait_output(engine: Engine, job_id: UUID, state: OutputState = OutputState.COMPLETE, seconds: float = 40) -> Any:
    until = time.monotonic() + seconds
    while (row := output_row(engine, job_id)).state != state:
        assert time.monotonic() < until, row
        time.sleep(0.02)
    return row


@dataclass(frozen=True)
class Found:
    """The output of a job in the bucket. Every file was held against the manifest."""

    manifest: dict[str, Any]
    files: dict[str, list[bytes]]


def keys(bucket: Bucket, prefix: str) -> list[str]:
    answer = bucket.client.list_objects_v2(Bucket=bucket.name, Prefix=prefix)
    return sorted(entry["Key"] for entry in answer.get("Contents", ()))


def read_output(bucket: Bucket, job_id: UUID, prefix: str = "out/") -> Found:
    """What a reader finds: the manifest, and exactly the files that it names, each as it says."""
    folder = f"{prefix}{show_job_id(job_id)}/"

    def read(key: str) -> bytes:
        return bucket.client.get_object(Bucket=bucket.name, Key=key)["Body"].read()

    manifest = json.loads(read(f"{folder}manifest.json"))
    files: dict[str, list[bytes]] = {}
    named = [f"{folder}manifest.json"]
    for shard in manifest["shards"]:
        key = shard["uri"].removeprefix(f"s3://{bucket.name}/")
        named.append(key)
        content = read(key)
        assert (len(content), hashlib.sha256(content).hexdigest()) == (shard["bytes"], shard["sha256"])
        of_format = files.setdefault(shard["format"], [])
        assert shard["number"] == len(of_format)
        of_format.append(content)
    assert keys(bucket, folder) == sorted(named)
    _check_ranges(manifest)
    return Found(manifest, files)


def _check_ranges(manifest: dict[str, Any]) -> None:
    """Every item is in exactly one file of each format."""
    ends: dict[str, int] = {}
    for shard in manifest["shards"]:
        assert shard["items"]["start"] == ends.get(shard["format"], 0)
        ends[shard["format"]] = shard["items"]["stop"]
    assert set(ends.values()) == {manifest["job"]["counts"]["total"]}
