"""How long a chunk waits after an attempt that brought no new result."""

import random
from typing import Final

_BASE: Final = 0.25
_CAP: Final = 60.0


def backoff(stalls: int) -> float:
    """Seconds to wait after so many attempts in a row without a new result."""
    return min(_CAP, _BASE * 2.0 ** max(0, stalls - 1)) * (0.5 + random.random() / 2)
