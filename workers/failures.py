"""Why an item failed: the table from exceptions to reasons.

ItemFailed       carries its reason: the item or its storage is at fault
anything else    is looked up in FAILURES; what is not there is INTERNAL and logged with its traceback
"""

from dataclasses import dataclass
from typing import Final

from db.states import ItemReason
from model.errors import ModelError, OutOfMemory, PromptOutOfBounds, TaskNotServed


class ItemFailed(Exception):
    """The item cannot be segmented. `detail` is for its owner to read."""

    def __init__(self, reason: ItemReason, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


@dataclass(frozen=True)
class Failure:
    """What the row of a failed item says. `retryable`: the same item may succeed at another try."""

    reason: ItemReason
    detail: str
    retryable: bool


RETRYABLE: Final = frozenset(
    {
        ItemReason.STORAGE_UNAVAILABLE,
        ItemReason.GPU_OUT_OF_MEMORY,
        ItemReason.OUT_OF_MEMORY,
        ItemReason.WORKER_LOST,
        ItemReason.TIMEOUT,
        ItemReason.INTERNAL,
    }
)

FAILURES: Final[tuple[tuple[type[BaseException], ItemReason], ...]] = (
    (PromptOutOfBounds, ItemReason.PROMPT_OUT_OF_BOUNDS),
    (TaskNotServed, ItemReason.TASK_NOT_SERVED),
    (OutOfMemory, ItemReason.GPU_OUT_OF_MEMORY),  # the device's
    (MemoryError, ItemReason.OUT_OF_MEMORY),  # the host's
    (ModelError, ItemReason.INTERNAL),
    (TimeoutError, ItemReason.TIMEOUT),
    (BaseException, ItemReason.INTERNAL),
)
"""The first match counts, so subclasses stand before their bases."""

_MAX_DETAIL = 500


def failure_of(error: BaseException) -> Failure:
    """The failure for an exception that one item raised."""
    if isinstance(error, ItemFailed):
        reason, detail = error.reason, error.detail
    else:
        reason = next(reason for kind, reason in FAILURES if isinstance(error, kind))
        detail = str(error) if isinstance(error, ModelError) else f"{type(error).__name__}: {error}"
    return Failure(reason, _storable(detail), reason in RETRYABLE)


def _storable(detail: str) -> str:
    """Postgres takes neither NUL nor half a surrogate pair in a text."""
    return detail[:_MAX_DETAIL].replace("\x00", "").encode(errors="replace").decode()
