"""The agreement of two sets of masks of one image."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from model.masks import rle
from model.masks.rle import RLE

PIXELS = 1 << 18  # gone through at a time; float32 counts them exactly
Table = dict[str, Any]


def overlaps(ours: list[RLE], theirs: list[RLE]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(ours, theirs): intersection over union of masks of one size, and the number of pixels in which they differ.

    The IoU of two empty masks is 1.
    """
    a, b = (np.stack([rle.decode(m).reshape(-1) for m in masks]) for masks in (ours, theirs))
    both = np.zeros((len(a), len(b)))
    for at in range(0, a.shape[1], PIXELS):
        both += a[:, at : at + PIXELS].astype(np.float32) @ b[:, at : at + PIXELS].astype(np.float32).T
    union = a.sum(1)[:, None] + b.sum(1)[None] - both
    return np.where(union > 0, both / np.maximum(union, 1), 1.0), union - both


def agreement(ours: list[RLE], theirs: list[RLE]) -> Table:
    """Match each of theirs with the most alike of ours.

    Returns the least and the mean IoU, the largest difference in pixels, and how many of ours are in another order.
    """
    if not ours or not theirs:
        return {"masks": [len(ours), len(theirs)], "least IoU": float(len(ours) == len(theirs))}
    table, apart = overlaps(ours, theirs)
    best = table.max(0)
    own = np.array([table[i, i] if i < len(table) else 0.0 for i in range(len(theirs))])
    return {
        "masks": [len(ours), len(theirs)],
        "least IoU": round(float(best.min()), 6),
        "mean IoU": round(float(best.mean()), 6),
        "most pixels apart": int(apart[table.argmax(0), range(len(theirs))].max()),
        "out of order": int((own < best).sum()),
    }
