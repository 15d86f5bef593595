"""Named points at which a process can be told to die as a power cut would have it: for tests of the protocol only.

MASKWORKS_CRASH_AT=name[:n] ends the process by SIGKILL the n-th time it gets to that point. Unset, a point costs one
comparison. The names:

claimed    a worker holds a chunk and has touched none of its images
computing  the GPU thread has a batch in its hands
writing    results and counts of a batch are in an open transaction
done       a chunk is done and committed, its job not yet finished
marked     the dispatcher has committed chunks as dispatched and has sent no message
"""

import os
import signal
import threading
from typing import Final

NAMES: Final = ("claimed", "computing", "writing", "done", "marked")


class _Armed:
    """The one point armed in this process, and how often it is still to be passed."""

    def __init__(self) -> None:
        self.name: str | None = None
        self.passes = 0
        self.lock = threading.Lock()


_armed = _Armed()


def arm(crash_at: str | None) -> None:
    """Called once by the entry module. Raises ValueError for a name that no code passes."""
    name, _, count = (crash_at or "").partition(":")
    if name and name not in NAMES:
        raise ValueError(f"no crash point {name!r}; there are {', '.join(NAMES)}")
    _armed.name, _armed.passes = name or None, int(count or 1)


def reach(name: str) -> None:
    """Die here, if this is the armed point and the time has come."""
    if _armed.name != name:
        return
    with _armed.lock:
        _armed.passes -= 1
        if _armed.passes <= 0:
            os.kill(os.getpid(), signal.SIGKILL)
