"""Queues of chunks: one for each model, one more for its text jobs, and again for each newer protocol.

A worker must not get a chunk that it cannot do. So it takes from the queues that it knows, and one of an older release
does not know that there are others.
"""

from typing import Final

PROTOCOL: Final = 2
"""The newest form of a job, its chunks and its items that this release knows; `jobs.protocol` holds a job's.

Raise it when a worker of the release before would misread a job, and write the new number on jobs of that form alone.
"""
TILED: Final = 2
"""The protocol of jobs with items that are segmented by windows."""

TEXT_SUFFIX: Final = ".text"
PROTOCOL_SUFFIX: Final = ".v"
"""Followed by the protocol, from the second one on."""


def queues(model: str, *, text: bool, protocol: int = PROTOCOL) -> tuple[str, ...]:
    """The queues of a worker that knows all protocols up to this one, and serves text or does not."""
    kinds = (model, model + TEXT_SUFFIX) if text else (model,)
    versions = ("", *(f"{PROTOCOL_SUFFIX}{number}" for number in range(2, protocol + 1)))
    return tuple(kind + version for kind in kinds for version in versions)
