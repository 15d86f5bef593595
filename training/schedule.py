"""The schedule of a run by active minutes: warm-up, constant rate, decay; resolution and correction clicks.

Runs are measured in minutes, not steps, because they may share their machine. A pause by SIGSTOP shows as one very long
step, which counts as a usual one.
"""

import math
from dataclasses import dataclass, field

DECAY_FROM = 0.7  # share of the run at which the learning rate starts to fall
CORRECT_FROM = 0.6  # share of the run at which correction clicks begin
SIDES = (
    (0.0, 1 / 3),
    (0.2, 2 / 3),
    (0.4, 1.0),
)  # share of the run from which a share of the full side is used
WARM_UP_STEPS = 150
FLOOR = 0.01
PAUSE = 20.0  # seconds; a step longer than this, and than five usual ones, was a pause


def learning_rate(peak: float, step: int, progress: float, warm_up: int = WARM_UP_STEPS) -> float:
    """Peak after a linear warm-up of so many steps, then a half cosine from DECAY_FROM to the end."""
    warm = min(1.0, (step + 1) / max(1, warm_up))
    falling = min(1.0, max(0.0, (progress - DECAY_FROM) / (1 - DECAY_FROM)))
    return peak * warm * (FLOOR + (1 - FLOOR) * 0.5 * (1 + math.cos(math.pi * falling)))


def side_at(full: int, progress: float) -> int:
    """Model pixels a side. Low resolution comes first: pictures cost less, and shapes are learned as well."""
    return round(full * next(share for start, share in reversed(SIDES) if progress >= start))


@dataclass
class ActiveClock:
    """Seconds of training so far, without pauses."""

    seconds: float = 0.0
    usual: float = field(default=1.0)

    def add(self, seconds: float) -> None:
        if seconds > PAUSE and seconds > 5 * self.usual:
            seconds = self.usual
        self.usual += 0.05 * (seconds - self.usual)
        self.seconds += seconds
