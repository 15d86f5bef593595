"""Confidence intervals by the bootstrap over pictures. Models get the same samples, so differences are paired."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from evaluation.task import Figures, Tally

SEED = 0
LEVEL = 0.95


@dataclass(frozen=True)
class Interval:
    """A figure of all pictures, and where 95 % of the samples lie. NaN where there is no such figure."""

    value: float
    low: float
    high: float

    @property
    def surely_not_zero(self) -> bool:
        return self.low > 0 or self.high < 0


def samples(pictures: int, resamples: int) -> NDArray[np.int64]:
    """(resamples, pictures) indexes, the same at every call."""
    return np.random.default_rng(SEED).integers(0, pictures, (resamples, pictures))


def resampled(tally: Tally, index: NDArray[np.int64]) -> list[Figures]:
    """The figures of each sample."""
    return [tally(row) for row in index]


def intervals(whole: Figures, parts: Sequence[Figures]) -> dict[str, Interval]:
    """An interval for each figure, from those of all pictures and those of the samples."""
    return {name: _interval(value, [part.get(name, np.nan) for part in parts]) for name, value in whole.items()}


def differences(
    first: tuple[Figures, Sequence[Figures]], second: tuple[Figures, Sequence[Figures]]
) -> dict[str, Interval]:
    """Second minus first, sample by sample: each is the figures of all pictures and those of the samples."""
    return intervals(_minus(second[0], first[0]), [_minus(b, a) for a, b in zip(first[1], second[1], strict=True)])


def _minus(a: Figures, b: Figures) -> Figures:
    return {name: a[name] - b[name] for name in a if name in b}


def _interval(value: float, parts: list[float]) -> Interval:
    known = np.array(parts, np.float64)
    known = known[np.isfinite(known)]
    if len(known) == 0:
        return Interval(value, np.nan, np.nan)
    low, high = np.quantile(known, [(1 - LEVEL) / 2, (1 + LEVEL) / 2]).tolist()
    return Interval(value, low, high)
