"""Where the files of a job's output are. The writer and the API agree on it here.

Each job has a folder of its own below its output's URI. So no two jobs write the same object, and no output replaces
anything that somebody else has put into the bucket. Names of shards hold the writer's fence: an earlier writer that
goes on late cannot replace a file of a later one.
"""

import re
from typing import Final
from uuid import UUID

from db.ids import show_job_id

MANIFEST: Final = "manifest.json"
_SHARD: Final = re.compile(r"[a-z0-9_]+/[0-9]{5,}-([0-9]+)\.[a-z0-9_.]+", re.ASCII)


def folder_uri(uri: str, job_id: UUID) -> str:
    """`s3://bucket/out/` → `s3://bucket/out/job_…/`"""
    return f"{uri}{show_job_id(job_id)}/"


def manifest_uri(uri: str, job_id: UUID) -> str:
    return folder_uri(uri, job_id) + MANIFEST


def shard_name(format: str, number: int, fence: int, suffix: str) -> str:
    """The name of a file inside its job's folder."""
    return f"{format}/{number:05}-{fence}.{suffix}"


def fence_of(name: str) -> int | None:
    """The fence of the writer whose shard has this name. None: no name of a shard."""
    found = _SHARD.fullmatch(name)
    return int(found[1]) if found else None
