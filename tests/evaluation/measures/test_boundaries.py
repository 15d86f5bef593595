"""Boundary measures equal an independent, slow re-statement on small maps: dense assignment and plain loops."""

from itertools import pairwise

import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment
from skimage.morphology import thin

from evaluation.measures.boundaries import counts, matched, thresholds
from evaluation.measures.curves import figures, recall_at_half
from tests.evaluation.drawn import disc

AT = thresholds(9)


def drawing(rng: np.random.Generator, size: int = 34) -> np.ndarray:
    """The outline of a disc somewhere, one pixel wide."""
    whole = disc(size, rng.uniform(12, 22), rng.uniform(12, 22), rng.uniform(6, 11))
    return np.asarray(thin(whole & ~np.roll(whole, 1, 0) | whole & ~np.roll(whole, 1, 1)))


def strengths(rng: np.random.Generator, right: np.ndarray) -> np.ndarray:
    """Edges near what is right, with gaps and noise."""
    near = np.roll(right, tuple(rng.integers(-1, 2, 2)), (0, 1)) * rng.uniform(0.3, 1, right.shape)
    return np.asarray(np.maximum(near, (rng.random(right.shape) < 0.05) * rng.random(right.shape)), np.float32)


def slow_pairs(found: np.ndarray, drawn: np.ndarray, reach: float) -> list[tuple[int, int]]:
    """Pairs of pixels by the Hungarian method on the full matrix, where each may also pay for having no partner."""
    ours, theirs = np.argwhere(found), np.argwhere(drawn)
    n, m = len(ours), len(theirs)
    cost = np.full((n + m, n + m), 1e6)
    for i, (y, x) in enumerate(ours):
        for j, (v, u) in enumerate(theirs):
            distance = ((y - v) ** 2 + (x - u) ** 2) ** 0.5
            if distance <= reach:
                cost[i, j] = distance + 1e-7 * i
                cost[n + j, m + i] = 0
        cost[i, m + i] = 100 * reach
    for j in range(m):
        cost[n + j, j] = 100 * reach
    return [(int(i), int(j)) for i, j in zip(*linear_sum_assignment(cost), strict=True) if i < n and j < m]


def slow_counts(edges: np.ndarray, people: np.ndarray) -> list[list[int]]:
    rows = []
    for threshold in AT:
        found = thin(edges >= threshold)
        right, partners = set(), 0
        for one in people:
            pairs = slow_pairs(found, one, 0.0075 * (34**2 + 34**2) ** 0.5 * WIDER)
            right |= {i for i, _ in pairs}
            partners += len(pairs)
        rows.append([partners, int(sum(one.sum() for one in people)), len(right), int(found.sum())])
    return rows


def slow_figures(table: list[list[list[int]]]) -> dict[str, float]:
    """As the benchmark's code computes them, one by one."""

    def f(r: float, p: float) -> float:
        return 2 * r * p / (r + p) if r + p else 0.0

    def rp(row: list[int]) -> tuple[float, float]:
        return row[0] / max(row[1], 1), row[2] / max(row[3], 1)

    count = len(table[0])
    curve = [rp([sum(one[t][k] for one in table) for k in range(4)]) for t in range(count)]
    ods = 0.0
    for (r0, p0), (r1, p1) in pairwise(curve):
        for d in np.linspace(0, 1, 100):
            ods = max(ods, f(r0 * (1 - d) + r1 * d, p0 * (1 - d) + p1 * d))
    chosen = [max(one, key=lambda row: f(*rp(row))) for one in table]
    ois = f(*rp([sum(row[k] for row in chosen) for k in range(4)]))
    best: dict[float, float] = {}
    for r, p in curve:
        best[r] = max(best.get(r, 0), p)
    at = sorted(best)
    area = 0.0
    for wanted in (k / 100 for k in range(101)):
        for a, b in pairwise(at):
            if a <= wanted < b or wanted == b == at[-1]:
                area += best[a] + (best[b] - best[a]) * (wanted - a) / (b - a)
                break
    return {"ODS": ods, "OIS": ois, "AP": area / 100}


WIDER = 5  # small maps have a small diagonal: the tolerance is 1.8 px


@pytest.mark.parametrize("people", [1, 3])
def test_counts_and_figures_are_the_benchmarks(monkeypatch: pytest.MonkeyPatch, people: int) -> None:
    monkeypatch.setattr("evaluation.measures.boundaries.TOLERANCE", 0.0075 * WIDER)
    rng = np.random.default_rng(people)
    ours, theirs = [], []
    for _ in range(3):
        drawn = np.stack([drawing(rng) for _ in range(people)])
        edges = strengths(rng, drawn[0])
        ours.append(counts(edges, drawn, AT))
        theirs.append(slow_counts(edges, drawn))
        assert ours[-1].tolist() == theirs[-1]
    found, expected = figures(np.stack(ours)), slow_figures(theirs)
    assert {name: found[name] for name in expected} == pytest.approx(expected)
    assert 0.3 < found["ODS"] < 0.98 and found["AP"] > 0.1


def test_the_published_tolerance() -> None:
    """.0075 of the diagonal of 481x321 is 4.34 px: four pixels away is right, five is not."""
    drawn = np.zeros((321, 481), np.bool_)
    drawn[100, 50:450] = True
    for distance, right in ((4, 400), (5, 0)):
        found = np.roll(drawn, distance, 0)
        assert matched(found, drawn).sum() == matched(found, drawn, only_number=True).sum() == right


def test_a_double_edge_has_one_partner() -> None:
    drawn = np.zeros((40, 40), np.bool_)
    drawn[20, 5:35] = True
    double = drawn | np.roll(drawn, 1, 0)
    reachable = matched(np.pad(double, 200), np.pad(drawn, 200))
    assert reachable.sum() == 30 and reachable[:30].all()  # the nearer line


def test_recall_at_half_precision() -> None:
    recall, precision = np.array([0.9, 0.6, 0.2]), np.array([0.4, 0.6, 0.9])
    assert recall_at_half(recall, precision) == pytest.approx(0.75)
    assert recall_at_half(recall, precision + 0.2) == pytest.approx(0.9)  # never below half: all of it
    assert np.isnan(recall_at_half(recall, precision / 2))
