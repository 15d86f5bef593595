"""Which bands of a file become red, green and blue: `bands` of a job's input."""

from collections.abc import Sequence

Bands = tuple[int, ...]
"""One band, which becomes gray, or three. The first is 1."""
MOST: int = 10_000


def bands_of(stored: Sequence[int] | None) -> Bands | None:
    """As a job's input has them."""
    return None if stored is None else tuple(stored)
