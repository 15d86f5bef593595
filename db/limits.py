"""The size of chunks, and how often a failed attempt is repeated. The same for every installation."""

from typing import Final

CHUNK_CAP_AUTO: Final = 16
CHUNK_CAP_PROMPTED: Final = 256
CHUNK_CAP_TILED: Final = 1
"""Of a job whose task has `tile`: planning and merging may take long, so each image is on its own."""
MAX_TILES: Final = 50_000
"""Of one image."""
MAX_TILED_AT_ONCE: Final = 16
"""Images of a job that have tiles under way. The tiles of all images of a job could be too many rows."""
MAX_INFLIGHT: Final = 32
"""Images of a chunk that may be in fetch, decode or GPU at a time, all of which a crash makes suspects."""
MAX_DEATHS_ALONE: Final = 3
"""An image fails, WORKER_LOST, after so many crashes of a worker that held it alone."""
MAX_STALLS: Final = 8
"""A chunk is dead after so many attempts in a row without a new result."""
MAX_REQUESTS_PER_MINUTE: Final = 1_000_000
"""The most that may be allowed. A larger limit could not be kept exactly: see `api/rate_limit.py`."""
MAX_ERRORS: Final = 5
"""The same if an unexpected error ended the last attempt. The missing items fail, INTERNAL."""


def chunk_size(n_items: int, *, prompted: bool, tiled: bool = False) -> int:
    """Items in a chunk: small jobs spread over many workers, large jobs stay within the cap."""
    cap = CHUNK_CAP_TILED if tiled else CHUNK_CAP_PROMPTED if prompted else CHUNK_CAP_AUTO
    return min(cap, max(1, -(-n_items // 64)))
