"""The manifest of an output: the last file to be written, which names all others.

It is made from rows that cannot change any more. So two writers would write the same bytes, and it does not matter
which of them was the last.
"""

from collections.abc import Iterable
from typing import Any
from uuid import UUID

import orjson
from sqlalchemy import Row

from db.output import folder_uri
from db.statements.output import Shard
from exports.pages import Job
from exports.table import FORMATS

VERSION = 1


def manifest(uri: str, job: Row[Any], shards: Iterable[Shard]) -> bytes:
    """`job` is a row of `db.statements.jobs.job`."""
    body = {"version": VERSION, "job": _job(job), "shards": [_shard(uri, job.id, shard) for shard in shards]}
    return orjson.dumps(body, option=orjson.OPT_INDENT_2 | orjson.OPT_UTC_Z) + b"\n"


def _job(row: Row[Any]) -> dict[str, Any]:
    about = Job.of(row)
    error = {"reason": row.error_reason, "detail": row.error_detail} if row.error_reason else None
    return {
        "id": about.id,
        "name": row.name,
        "labels": row.labels,
        "model": row.model,
        "state": about.state,
        "counts": about.counts,
        "error": error,
        "create_time": row.created_at,
        "start_time": row.started_at,
        "end_time": row.ended_at,
    }


def _shard(uri: str, job_id: UUID, shard: Shard) -> dict[str, Any]:
    return {
        "format": shard.format,
        "number": shard.number,
        "uri": folder_uri(uri, job_id) + shard.name,
        "media_type": FORMATS[shard.format].media_type,
        "bytes": shard.size,
        "sha256": shard.sha256.hex(),
        "items": {"start": shard.start, "stop": shard.stop},
    }
