"""ODS, OIS, AP and R50 of boundaries, from the counts of each picture at each threshold."""

import numpy as np
from numpy.typing import NDArray

STEPS = np.linspace(0, 1, 100)  # between two thresholds


def figures(counts: NDArray[np.int64]) -> dict[str, float]:
    """Counts (n, T, 4) of n pictures, as `boundaries.counts` makes them.

    ODS is the best F of one threshold for all pictures, between thresholds too. OIS is F with each picture at its own
    best threshold. AP is the area below the curve, R50 the recall at half precision.
    """
    recall, precision = _curve(counts.sum(0))
    own = np.stack([_f(*_curve(one)) for one in counts]).argmax(1)
    best = counts[np.arange(len(counts)), own].sum(0)
    return {
        "ODS": best_f(recall, precision),
        "OIS": float(_f(*_curve(best[None]))[0]),
        "AP": area(recall, precision),
        "R50": recall_at_half(recall, precision),
    }


def best_f(recall: NDArray[np.float64], precision: NDArray[np.float64]) -> float:
    """The greatest F on the lines between neighbouring thresholds."""
    if len(recall) == 1:
        return float(_f(recall, precision)[0])
    between_r, between_p = (v[:-1, None] * (1 - STEPS) + v[1:, None] * STEPS for v in (recall, precision))
    return float(_f(between_r, between_p).max())


def area(recall: NDArray[np.float64], precision: NDArray[np.float64]) -> float:
    """Precision at recalls 0, .01, …, 1, summed, times .01: 0 outside the curve, the best of equal recalls."""
    at, best = _best(recall, precision)
    wanted = np.arange(101) / 100
    inside = (wanted >= at[0]) & (wanted <= at[-1])
    return float(np.interp(wanted, at, best)[inside].sum() / 100) if len(at) > 1 else 0.0


def recall_at_half(recall: NDArray[np.float64], precision: NDArray[np.float64]) -> float:
    """Recall at precision .5, or at the least precision where that is greater. NaN where no precision is so great."""
    at, best = _best(precision, recall)
    wanted = max(float(at[0]), 0.5)
    return float(np.interp(wanted, at, best)) if wanted <= at[-1] else float("nan")


def picture_f(counts: NDArray[np.int64]) -> tuple[float, int]:
    """The best F of one picture (T, 4), and the threshold that gives it."""
    found = _f(*_curve(counts))
    return float(found.max()), int(found.argmax())


def _best(at: NDArray[np.float64], value: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The different `at` in order, each with its greatest value."""
    order = np.lexsort((-value, at))
    different, first = np.unique(at[order], return_index=True)
    return different, value[order][first]


def _curve(counts: NDArray[np.int64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(T, 4) → recall and precision (T,), 0 where there is nothing."""
    partners, drawn, right, found = counts.T
    return partners / np.maximum(drawn, 1), right / np.maximum(found, 1)


def _f(recall: NDArray[np.float64], precision: NDArray[np.float64]) -> NDArray[np.float64]:
    both = recall + precision
    return np.asarray(2 * recall * precision / np.where(both > 0, both, 1), np.float64)
