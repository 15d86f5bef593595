"""What a try of a delivery came to, and how long to wait for the next one."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from db.states import WebhookState

_LONGEST_WAIT: Final = 86_400.0
_JITTER: Final = 0.2


@dataclass(frozen=True)
class Outcome:
    """`status` is the receiver's, if it answered. `retry_after`: the seconds that it asks for."""

    status: int | None
    error: str | None = None
    retry_after: float = 0.0


def next_step(outcome: Outcome, tries: int, schedule: Sequence[float]) -> tuple[WebhookState, float]:
    """The state after a try that `tries` failed ones came before, and the seconds until the next one."""
    if outcome.status is not None and 200 <= outcome.status < 300:
        return WebhookState.DELIVERED, 0.0
    if outcome.status == 410:
        return WebhookState.DISABLED, 0.0
    if tries >= len(schedule):
        return WebhookState.FAILED, 0.0
    # At random, so that a receiver that comes back does not get everything at once.
    wait = schedule[tries] * (1 + random.random() * _JITTER)
    return WebhookState.PENDING, min(_LONGEST_WAIT, max(wait, outcome.retry_after))


def retry_after(value: str | None) -> float:
    """The seconds of a Retry-After header. A date, or anything else, counts as none."""
    return float(value) if value is not None and value.isascii() and value.isdigit() and len(value) < 8 else 0.0
