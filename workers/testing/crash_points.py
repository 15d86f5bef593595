"""Named points at which a process can be told to fail, for fault tests only.

MASKWORKS_CRASH_AT=name[:n] ends the process by SIGKILL the n-th time it gets to that point, as a power cut would.
MASKWORKS_CRASH_AT=name:job raises `Injected` there each time that the point is passed for that job (its UUID), as an
unexpected error would. Unset, a point costs one comparison. The names:

of the dispatcher
reaping      a chunk is taken back from a worker that died
stopping     a job is ended by its deadline or its failures
finishing    a job is ended because its last chunk has
filling      a chunk was marked as dispatched
marked       all of them are committed and no message is sent
announcing   a chunk whose message is lost is marked again
listing      a page of a job's prefix or manifest is to be read
listed       its items and the next page's token are in an open transaction
uploading    a file of an output, or a part of it, is to be uploaded
uploaded     the file is in the bucket, and not recorded
publishing   every file is recorded, and the manifest is to be written
published    the manifest is in the bucket, and the output not yet complete
tallying     the ended chunks of a job are counted
webhook_held a webhook is claimed, and not sent
webhook_sent a webhook is sent, and not recorded
releasing    chunks whose tiles have ended are to be released
removing     rows of a job that is removed by its age are deleted, in an open transaction

of a worker
claiming     a chunk is to be claimed
claimed      a worker holds a chunk and has touched none of its images
admitting    images are about to be written down as in flight
fetching     an image is fetched
decoding     an image is decoded
computing    the GPU thread has a batch in its hands
computed     it has computed the batch, and handed none of it on
encoding     an image's masks are encoded
packing      an image's result becomes a row
copying      an earlier result is to be taken over, in an open transaction
writing      results and counts of a batch are in an open transaction
renewing     a lease is renewed
planning     the tiles of an image are to be stored
planned      they are stored, in an open transaction
merging      the masks of an image's tiles are to be merged
call_taken   a call for one image is taken from Redis
call_done    its image is done, and the call not answered
done         a chunk is done and committed, its job not yet finished
"""

import os
import signal
import threading
from typing import Final
from uuid import UUID

NAMES: Final = (
    *("reaping", "stopping", "finishing", "filling", "marked", "announcing", "listing", "listed", "tallying"),
    *("uploading", "uploaded", "publishing", "published", "webhook_held", "webhook_sent", "removing"),
    *("releasing", "planning", "planned", "merging"),
    *("claiming", "claimed", "admitting", "fetching", "decoding", "computing", "computed", "encoding", "packing"),
    *("copying", "writing", "renewing", "call_taken", "call_done", "done"),
)


class Injected(Exception):
    """Raised at a crash point that is armed for a job."""


class _Armed:
    """The one point armed in this process, and how often it is still to be passed, or for which job."""

    def __init__(self) -> None:
        self.name: str | None = None
        self.passes = 0
        self.job_id: UUID | None = None
        self.lock = threading.Lock()


_armed = _Armed()


def arm(crash_at: str | None) -> None:
    """Arm a point. The entry module calls it once. Raises ValueError for an unknown name."""
    name, _, which = (crash_at or "").partition(":")
    if name and name not in NAMES:
        raise ValueError(f"no crash point {name!r}; there are {', '.join(NAMES)}")
    kills = not which or which.isdigit()
    _armed.passes = int(which or 1) if kills else 0
    _armed.job_id = None if kills else UUID(which)
    _armed.name = name or None


def reach(name: str, job_id: UUID | None = None) -> None:
    """Die or raise here, if this point is armed and it is the n-th time or the armed job."""
    if _armed.name != name:
        return
    if _armed.job_id is not None:
        if job_id == _armed.job_id:
            raise Injected(f"an error was injected at the point {name!r}")
        return
    with _armed.lock:
        _armed.passes -= 1
        if _armed.passes <= 0:
            os.kill(os.getpid(), signal.SIGKILL)
