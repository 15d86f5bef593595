"""The stability of masks: pixels with logit > +offset over pixels with logit > −offset."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Stable:
    """The stable ones of N masks: their `index` (K,), `stability` float32 (K,) and `boxes` (K, 4). Host arrays.

    Boxes are x0, y0, x1, y1 in crop pixels, inclusive, of logit > 0. An empty mask has zeros.
    """

    index: NDArray[np.int64]
    stability: NDArray[np.float32]
    boxes: NDArray[np.int64]


def ratio(above: NDArray[np.int64], below: NDArray[np.int64]) -> NDArray[np.float32]:
    """above / below of each mask; NaN where below is 0."""
    with np.errstate(invalid="ignore"):
        found: NDArray[np.float32] = np.divide(above, below, dtype=np.float32, casting="same_kind")
    return found


def passing(stability: NDArray[np.float32], threshold: float) -> NDArray[np.int64]:
    """Indexes of those that are ≥ threshold. A threshold of 0 filters nothing; NaN passes no other."""
    return np.flatnonzero(stability >= threshold) if threshold > 0 else np.arange(len(stability))
