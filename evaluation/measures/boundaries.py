"""Match found boundary pixels with drawn ones, as the Berkeley benchmark does.

A found and a drawn pixel may be paired within .0075 of the picture's diagonal, each once. As many pairs as possible are
made, with the least sum of distances, and of equal ones that with the earlier found pixels in reading order. A found
pixel is right if any person's boundary has a pixel for it.
"""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components, maximum_bipartite_matching
from scipy.spatial import cKDTree

from evaluation.data.picture import Map

TOLERANCE = 0.0075  # of the diagonal
OUTLIER = 100  # times the tolerance: what a pixel without a partner costs
EARLIER = 1e-7  # a later pixel costs so much more
THRESHOLDS = 99

Counts = NDArray[np.int64]
"""(T, 4) for T thresholds: drawn pixels with a partner, drawn pixels, right found pixels, found pixels."""


def thresholds(count: int) -> NDArray[np.float64]:
    """Evenly between 0 and 1, without both."""
    return np.arange(1, count + 1) / (count + 1)


def counts(edges: NDArray[np.float32], drawn: Map, at: Sequence[float] | NDArray[np.float64]) -> Counts:
    """Edge strength (H, W) in [0, 1] against k drawings (k, H, W), at each threshold, thinned there."""
    from skimage.morphology import thin

    found = np.zeros((len(at), 4), np.int64)
    before: Map | None = None
    for i, threshold in enumerate(at):
        above = edges >= threshold
        if before is not None and np.array_equal(above, before):
            found[i] = found[i - 1]
            continue
        before = above
        thinned = np.asarray(thin(above), np.bool_)
        hits, partners = np.zeros(int(thinned.sum()), np.bool_), 0
        for one in drawn:
            hit = matched(thinned, one, only_number=len(drawn) == 1)
            hits |= hit
            partners += int(hit.sum())
        found[i] = partners, drawn.sum(), hits.sum(), len(hits)
    return found


def matched(found: Map, drawn: Map, only_number: bool = False) -> NDArray[np.bool_]:
    """Which found pixels, in reading order, have a partner. `only_number`: how many is right, which ones may not be."""
    ours, theirs = np.argwhere(found), np.argwhere(drawn)
    hit = np.zeros(len(ours), np.bool_)
    if not len(ours) or not len(theirs):
        return hit
    reach = TOLERANCE * float(np.hypot(*found.shape))
    pairs = cKDTree(ours).sparse_distance_matrix(cKDTree(theirs), reach, output_type="coo_matrix")
    row, column = pairs.row.astype(np.int64), pairs.col.astype(np.int64)
    graph = csr_array((np.ones(len(row)), (row, column)), shape=(len(ours), len(theirs)))
    partner = maximum_bipartite_matching(graph, perm_type="column")
    if only_number:
        hit[partner >= 0] = True
        return hit
    for part in _components(row, column, len(ours), len(theirs)):
        mine = np.unique(row[part])
        hit[mine] = (partner[mine] >= 0).all() or _least(row[part], column[part], pairs.data[part], OUTLIER * reach)
    return hit


def _components(row: NDArray[np.int64], column: NDArray[np.int64], n: int, m: int) -> Iterator[NDArray[np.int64]]:
    """The pairs of each connected part."""
    graph = csr_array((np.ones(len(row)), (row, n + column)), shape=(n + m, n + m))
    own = connected_components(graph, directed=False)[1][row]
    order = np.argsort(own, kind="stable")
    yield from np.split(order, np.flatnonzero(np.diff(own[order])) + 1) if len(order) else ()


def _least(
    row: NDArray[np.int64], column: NDArray[np.int64], distance: NDArray[np.float64], outlier: float
) -> NDArray[np.bool_]:
    """Which rows are paired in the matching of least cost. Everyone may also stay without a partner, for `outlier`."""
    from lap import lapmod

    (_, row), (_, column) = (np.unique(v, return_inverse=True) for v in (row, column))
    n, m = int(row.max()) + 1, int(column.max()) + 1
    tall = np.concatenate([row, np.arange(n), n + np.arange(m), n + column])
    wide = np.concatenate([column, m + np.arange(n), np.arange(m), m + row])
    cost = np.concatenate([distance + EARLIER * row, np.full(n + m, outlier), np.zeros(len(row))])
    square = csr_array((cost + 1, (tall, wide)), shape=(n + m, n + m))  # zeros would be no entries
    square.sort_indices()
    _, partner, _ = lapmod(n + m, square.data, square.indptr.astype(np.int32), square.indices.astype(np.int32))
    return np.asarray(partner[:n] < m, np.bool_)
