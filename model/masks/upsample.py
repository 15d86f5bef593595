"""Low-resolution logits → stability, boxes and runs at the size of their crop, in bounded memory.

A CPU interpolates only what is in doubt (`sparse`), any other device every pixel (`dense`). The masks are the same.
"""

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from model.masks import dense, rle, sparse
from model.masks.frames import Frame
from model.masks.stability import Stable


def stable(logits: Tensor, frame: Frame, side: int, offset: float, threshold: float) -> Stable:
    """Those of float32 (N, low, low) whose stability is ≥ threshold; all of them where that is 0."""
    way = sparse.measure if logits.device.type == "cpu" else dense.measure
    return way(logits, frame, side, offset, threshold)


def traced(logits: Tensor, frame: Frame, side: int, offset: float) -> tuple[NDArray[np.float32], list[rle.Runs]]:
    """Stability float32 (N,) and runs of all of (N, low, low) in one pass: for masks that nothing filters."""
    way = sparse.trace if logits.device.type == "cpu" else dense.trace
    return way(logits, frame, side, offset)


def runs(logits: Tensor, frame: Frame, side: int) -> list[rle.Runs]:
    """Run lengths, column-major over the crop, of logit > 0 at the crop's size."""
    way = sparse.runs if logits.device.type == "cpu" else dense.runs
    return way(logits, frame, side)
