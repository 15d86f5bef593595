"""Ids of jobs: UUIDv7, shown as `job_` and 32 hex digits. Workers, as those who may not know their hosts see them."""

import hashlib
import os
import time
from uuid import UUID

_SHOWN = "job_"


def new_job_id() -> UUID:
    """A UUIDv7 (RFC 9562 §5.7): 48 bits of milliseconds, then randomness, so that ids sort by creation."""
    value = time.time_ns() // 1_000_000 << 80 | int.from_bytes(os.urandom(10), "big")
    return UUID(int=value & ~(0xF << 76) & ~(0x3 << 62) | 0x7 << 76 | 0x2 << 62)


def show_job_id(job_id: UUID) -> str:
    """`job_` and 32 hex digits."""
    return _SHOWN + job_id.hex


def read_job_id(shown: str) -> UUID | None:
    """The id that `job_…` shows, or None if the text is not one."""
    digits = shown.removeprefix(_SHOWN)
    if digits == shown or len(digits) != 32:
        return None
    try:
        return UUID(hex=digits)
    except ValueError:
        return None


def show_worker_id(worker: str) -> str:
    """`worker_` and 12 hex digits. The id itself names the host and the process, which clients need not know."""
    return f"worker_{hashlib.sha256(worker.encode()).hexdigest()[:12]}"
