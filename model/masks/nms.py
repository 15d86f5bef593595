"""Non-maximum suppression by box, with torchvision's arithmetic and ties. numpy only."""

import numpy as np
from numpy.typing import NDArray


def nms(boxes: NDArray[np.number], scores: NDArray[np.floating], threshold: float) -> NDArray[np.int64]:
    """(N, 4) x0, y0, x1, y1 and (N,) scores → indices kept, by score descending (ties: lower index first).

    A box is dropped when its IoU with a kept one is > threshold. Both are float32, as in torchvision's CUDA kernel.
    (Its CPU kernel takes the threshold as a double, so that an IoU of exactly 3/5 is above .6.) A box without area
    has an IoU of NaN or 0 with every other, and stays.
    """
    limit = np.float32(threshold)
    order = np.argsort(-scores, kind="stable")
    x0, y0, x1, y1 = np.ascontiguousarray(boxes[order].T, dtype=np.float32)
    areas = (x1 - x0) * (y1 - y0)
    alive = np.ones(len(order), dtype=np.bool_)
    kept = []
    for i in range(len(order)):
        if not alive[i]:
            continue
        kept.append(order[i])
        rest = i + 1 + np.flatnonzero(alive[i + 1 :])
        wide = np.maximum(np.minimum(x1[i], x1[rest]) - np.maximum(x0[i], x0[rest]), np.float32(0))
        tall = np.maximum(np.minimum(y1[i], y1[rest]) - np.maximum(y0[i], y0[rest]), np.float32(0))
        shared = wide * tall
        with np.errstate(invalid="ignore"):
            alive[rest[shared / (areas[i] + areas[rest] - shared) > limit]] = False
    return np.asarray(kept, dtype=np.int64)
