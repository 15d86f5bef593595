"""The states of jobs, chunks and items, who moves each on, and why a job or an item fails.

    job    ingesting → pending → running → succeeded | partially_succeeded | failed | cancelled | expired
    chunk  ready → dispatched → leased → done | dead | cancelled; leased → ready when an attempt ends early
    item   has no state column: its result row is final, and without one its chunk says how it stands

The database repeats these rules as enums, CHECKs and triggers (`db/migrations`). `tests/db/test_states.py` compares
the two.
"""

from enum import StrEnum
from typing import Final


class JobState(StrEnum):
    INGESTING = "ingesting"
    """Items are being listed. The leader moves it to pending, or to failed if nothing matches."""
    PENDING = "pending"
    """Chunks wait. A worker's first claim moves it to running."""
    RUNNING = "running"
    """A chunk has been claimed. The worker that ends the last chunk finishes it, or else the leader does."""
    SUCCEEDED = "succeeded"
    """Final: every item succeeded."""
    PARTIALLY_SUCCEEDED = "partially_succeeded"
    """Final: some items succeeded, some failed."""
    FAILED = "failed"
    """Final: no item succeeded, too many failed, or the job was stopped for a reason that `error` gives."""
    CANCELLED = "cancelled"
    """Final: a client cancelled it. Results written before stay."""
    EXPIRED = "expired"
    """Final: its deadline passed. Results written before stay."""


class ChunkState(StrEnum):
    READY = "ready"
    """Waits in Postgres. The leader moves it to dispatched. A worker with an older message may claim it directly."""
    DISPATCHED = "dispatched"
    """A message that names it is or was in Redis. A worker's claim moves it on. A lost message is sent again."""
    LEASED = "leased"
    """A worker holds it until `lease_until` and ends it or gives it back. After that the leader takes it back."""
    DONE = "done"
    """Final: each of its items has a result."""
    DEAD = "dead"
    """Final: too many attempts without progress. Its missing items failed, WORKER_LOST or INTERNAL."""
    CANCELLED = "cancelled"
    """Final: its job was cancelled, expired or failed before it ended."""


class ResultState(StrEnum):
    """The state of a result row, which is written once and never changes."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"


class ItemState(StrEnum):
    """What a reader sees of an item. The six counts always add up to the job's total."""

    PENDING = "pending"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    EXPIRED = "expired"


JOB_TRANSITIONS: Final[dict[JobState, frozenset[JobState]]] = {
    JobState.INGESTING: frozenset({JobState.PENDING, JobState.FAILED, JobState.CANCELLED, JobState.EXPIRED}),
    JobState.PENDING: frozenset({JobState.RUNNING, JobState.FAILED, JobState.CANCELLED, JobState.EXPIRED}),
    JobState.RUNNING: frozenset(
        {
            JobState.SUCCEEDED,
            JobState.PARTIALLY_SUCCEEDED,
            JobState.FAILED,
            JobState.CANCELLED,
            JobState.EXPIRED,
        }
    ),
    JobState.SUCCEEDED: frozenset(),
    JobState.PARTIALLY_SUCCEEDED: frozenset(),
    JobState.FAILED: frozenset(),
    JobState.CANCELLED: frozenset(),
    JobState.EXPIRED: frozenset(),
}

CHUNK_TRANSITIONS: Final[dict[ChunkState, frozenset[ChunkState]]] = {
    ChunkState.READY: frozenset({ChunkState.DISPATCHED, ChunkState.LEASED, ChunkState.CANCELLED}),
    ChunkState.DISPATCHED: frozenset({ChunkState.LEASED, ChunkState.CANCELLED}),
    ChunkState.LEASED: frozenset({ChunkState.DONE, ChunkState.READY, ChunkState.DEAD, ChunkState.CANCELLED}),
    ChunkState.DONE: frozenset(),
    ChunkState.DEAD: frozenset(),
    ChunkState.CANCELLED: frozenset(),
}

FINAL_JOB_STATES: Final = frozenset(s for s, to in JOB_TRANSITIONS.items() if not to)
FINAL_CHUNK_STATES: Final = frozenset(s for s, to in CHUNK_TRANSITIONS.items() if not to)
UNFINISHED_JOB_STATES: Final = tuple(s for s in JobState if s not in FINAL_JOB_STATES)
UNFINISHED_CHUNK_STATES: Final = tuple(s for s in ChunkState if s not in FINAL_CHUNK_STATES)
OPEN_JOB_STATES: Final = frozenset({JobState.PENDING, JobState.RUNNING})
"""A job whose chunks may be dispatched and claimed."""


class ItemReason(StrEnum):
    """Why one item failed. A bad object fails its item, never its job."""

    OBJECT_NOT_FOUND = "OBJECT_NOT_FOUND"
    ACCESS_DENIED = "ACCESS_DENIED"
    BUCKET_NOT_ALLOWED = "BUCKET_NOT_ALLOWED"
    HOST_NOT_ALLOWED = "HOST_NOT_ALLOWED"
    UNSUPPORTED_FORMAT = "UNSUPPORTED_FORMAT"
    IMAGE_TOO_LARGE = "IMAGE_TOO_LARGE"
    DECODE_FAILED = "DECODE_FAILED"
    WRONG_PAGE = "WRONG_PAGE"
    PROMPT_OUT_OF_BOUNDS = "PROMPT_OUT_OF_BOUNDS"
    TASK_NOT_SERVED = "TASK_NOT_SERVED"
    INVALID_MANIFEST_LINE = "INVALID_MANIFEST_LINE"
    STORAGE_UNAVAILABLE = "STORAGE_UNAVAILABLE"
    GPU_OUT_OF_MEMORY = "GPU_OUT_OF_MEMORY"
    OUT_OF_MEMORY = "OUT_OF_MEMORY"
    WORKER_LOST = "WORKER_LOST"
    TIMEOUT = "TIMEOUT"
    INTERNAL = "INTERNAL"


class JobReason(StrEnum):
    """Why a job as a whole ended early: `error.reason` of the job."""

    INPUT_EMPTY = "INPUT_EMPTY"
    INPUT_UNREADABLE = "INPUT_UNREADABLE"
    BUCKET_NOT_ALLOWED = "BUCKET_NOT_ALLOWED"
    CANCELLED_BY_CLIENT = "CANCELLED_BY_CLIENT"
    DEADLINE_EXCEEDED = "DEADLINE_EXCEEDED"
    FAILURE_RATIO_EXCEEDED = "FAILURE_RATIO_EXCEEDED"
    TOO_MANY_OPEN_ITEMS = "TOO_MANY_OPEN_ITEMS"
    STORAGE_UNAVAILABLE = "STORAGE_UNAVAILABLE"
    INTERNAL = "INTERNAL"


STOP_STATE: Final[dict[JobReason, JobState]] = {
    JobReason.INPUT_EMPTY: JobState.FAILED,
    JobReason.INPUT_UNREADABLE: JobState.FAILED,
    JobReason.BUCKET_NOT_ALLOWED: JobState.FAILED,
    JobReason.CANCELLED_BY_CLIENT: JobState.CANCELLED,
    JobReason.DEADLINE_EXCEEDED: JobState.EXPIRED,
    JobReason.FAILURE_RATIO_EXCEEDED: JobState.FAILED,
    JobReason.TOO_MANY_OPEN_ITEMS: JobState.FAILED,
    JobReason.STORAGE_UNAVAILABLE: JobState.FAILED,
    JobReason.INTERNAL: JobState.FAILED,
}
"""The final state that a job stopped for this reason takes."""


class WaitReason(StrEnum):
    """Why a job makes no progress now: `waiting_for` of the job."""

    NO_WORKER = "NO_WORKER"
    """No live worker has the job's model loaded and serves its task. Found when the job is read, never stored."""
    STORAGE_UNAVAILABLE = "STORAGE_UNAVAILABLE"
    """The bucket cannot be listed. The leader tries again, and fails the job after a while."""
    INTERNAL = "INTERNAL"
    """Listing raised an unexpected error. The leader tries again, and fails the job after a while."""


class OutputState(StrEnum):
    """How far a job's output to S3 is. It is written once the job has ended, in whatever state."""

    PENDING = "pending"
    """Waits for the end of its job, for a writer, or for another try. The leader's claim moves it on."""
    WRITING = "writing"
    """A writer holds it until `lease_until`. After that another may claim it."""
    COMPLETE = "complete"
    """Final: the manifest names every file, and all of them are in the bucket."""
    FAILED = "failed"
    """It was refused, or could not be written for too long. An operator may set it back to pending."""


OUTPUT_TRANSITIONS: Final[dict[OutputState, frozenset[OutputState]]] = {
    OutputState.PENDING: frozenset({OutputState.WRITING}),
    OutputState.WRITING: frozenset({OutputState.PENDING, OutputState.COMPLETE, OutputState.FAILED}),
    OutputState.COMPLETE: frozenset(),
    OutputState.FAILED: frozenset({OutputState.PENDING}),
}


class WebhookState(StrEnum):
    """How far the one delivery of a job's webhook is. It begins once the job has ended."""

    PENDING = "pending"
    """Waits for the end of its job, or for another try."""
    DELIVERED = "delivered"
    """The receiver has answered with a status from 200 to 299."""
    FAILED = "failed"
    """No try has succeeded, and none is left."""
    DISABLED = "disabled"
    """The receiver has answered 410 Gone."""
    SKIPPED = "skipped"
    """The job has ended in a state that the webhook does not ask for."""


class AnnotationState(StrEnum):
    """What became of a mask in review. An export for training leaves out what was rejected."""

    ACCEPTED = "accepted"
    """Right as it is."""
    REJECTED = "rejected"
    """Not a mask of anything."""
    CORRECTED = "corrected"
    """Right after a person changed it. The mask is the changed one."""


class AnnotationStage(StrEnum):
    """The stage of the data engine that a mask comes from."""

    ASSISTED = "assisted"
    """A person clicked, the model answered."""
    SEMI_AUTOMATIC = "semi_automatic"
    """A job found what it was sure of, a person the rest."""
    AUTOMATIC = "automatic"
    """A job found it, nobody was asked."""


class OutputReason(StrEnum):
    """Why an output failed, or its last try: `output.error.reason` of the job."""

    BUCKET_NOT_ALLOWED = "BUCKET_NOT_ALLOWED"
    BUCKET_NOT_FOUND = "BUCKET_NOT_FOUND"
    ACCESS_DENIED = "ACCESS_DENIED"
    STORAGE_UNAVAILABLE = "STORAGE_UNAVAILABLE"
    INTERNAL = "INTERNAL"


class WarningCode(StrEnum):
    """What differs from the request in an item that succeeded: `warnings` of the item."""

    BOX_CLIPPED = "BOX_CLIPPED"
    """A box reached beyond the image and was clipped to it."""
    PROMPT_FAILED = "PROMPT_FAILED"
    """A prompt failed. The item's other prompts did not."""
    EMPTY_MASK = "EMPTY_MASK"
    """A prompt's mask has no pixel."""
    FRAMES_IGNORED = "FRAMES_IGNORED"
    """The file holds several images. The first was taken."""
    BANDS_IGNORED = "BANDS_IGNORED"
    """The file has more than three bands. The first three were taken."""
    DEPTH_SCALED = "DEPTH_SCALED"
    """Samples of more than 8 bits were scaled to 8. The detail gives the range."""
    GEOREFERENCE_IGNORED = "GEOREFERENCE_IGNORED"
    """The file says where on the ground it is, in a way that is not read. Its masks stay in pixels."""


class Depth(StrEnum):
    """How samples of more than 8 bits become 8: `depth` of a job's input."""

    AUTO = "auto"
    """By the bit depth that the file declares, else by the fewest bits that hold every sample."""
    PERCENTILES = "percentiles"
    """From the 0.1th to the 99.9th percentile of the image."""
    FULL_RANGE = "full_range"
    """By the number type: the high byte of 16-bit samples."""
