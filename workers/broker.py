"""The queues in Redis and their messages. Each message names one chunk.

Postgres holds the chunk itself. Losing Redis delays work and never loses any: a lost message is sent again.
"""

import json
from typing import Final
from uuid import UUID

Chunk = tuple[UUID, int]
"""A chunk's key: its job and its number there."""

URGENCIES: Final = (0, 3, 6, 9)
"""The lists of one queue, as Celery names them for Redis. Workers take from the first one that has a message."""
_MOST_CHUNKS: Final = 2**31
"""`chunks.chunk_no` is a Postgres integer."""


def queue_name(queue: str) -> str:
    """The name in Redis of a queue of `db.queues`."""
    return f"chunks.{queue}"


def list_name(queue: str, urgency: int) -> str:
    """The Redis list of one urgency of a queue."""
    return queue_name(queue) + (f"\x06\x16{urgency}" if urgency else "")


def list_names(*queues: str) -> list[str]:
    """The Redis lists of these queues, most urgent first."""
    return [list_name(queue, urgency) for urgency in URGENCIES for queue in queues]


def message(job_id: UUID, chunk_no: int) -> bytes:
    """The message that announces a chunk."""
    return json.dumps({"job": str(job_id), "chunk": chunk_no}).encode()


def chunk_of(raw: bytes) -> Chunk | None:
    """The chunk that a message names, or None for a message that is not ours."""
    try:
        named = json.loads(raw)
        job_id, chunk = UUID(named["job"]), named["chunk"]
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError):
        return None
    return (job_id, chunk) if type(chunk) is int and 0 <= chunk < _MOST_CHUNKS else None
