"""Durations as an operator writes them: `90s`, `15m`, `24h`, `30d`."""

import re
from datetime import timedelta
from typing import Final

_UNITS: Final = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
_LONGEST: Final = timedelta(days=3660)


def read_duration(text: str) -> timedelta:
    """Raises ValueError."""
    found = re.fullmatch(r"([0-9]{1,9})([smhd])", text)
    if found is None:
        raise ValueError(f"{text!r} is no duration: write it as 90s, 15m, 24h or 30d")
    duration = timedelta(**{_UNITS[found[2]]: int(found[1])})
    if duration > _LONGEST:
        raise ValueError(f"{text!r} is too long: at most {_LONGEST.days}d")
    return duration
