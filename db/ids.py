"""Identities: UUIDv7 for jobs, shown as `job_<32 hex digits>`."""

import os
import time
from uuid import UUID

_SHOWN = "job_"


def new_job_id() -> UUID:
    """A UUIDv7 (RFC 9562 §5.7): 48 bits of milliseconds, then randomness, so that ids sort by creation."""
    value = time.time_ns() // 1_000_000 << 80 | int.from_bytes(os.urandom(10), "big")
    return UUID(int=value & ~(0xF << 76) & ~(0x3 << 62) | 0x7 << 76 | 0x2 << 62)


def show_job_id(job_id: UUID) -> str:
    return _SHOWN + job_id.hex


def read_job_id(shown: str) -> UUID | None:
    """The id behind `job_…`, or None where the text is no job id: to a reader, an unknown job."""
    digits = shown.removeprefix(_SHOWN)
    if digits == shown or len(digits) != 32:
        return None
    try:
        return UUID(hex=digits)
    except ValueError:
        return None
