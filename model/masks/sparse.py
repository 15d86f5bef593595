"""Full-size masks by `cells`, a few masks at a time. This is the CPU's path."""

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from model.masks import rle
from model.masks.cells import Cells
from model.masks.frames import Frame
from model.masks.stability import Stable, passing, ratio

LOGITS = 1 << 19  # gone through at a time: 2 MB
WIDE_CELL = 10  # pixels a side from which model pixels make better cells than low-resolution ones


def measure(logits: Tensor, frame: Frame, side: int, offset: float, threshold: float) -> Stable:
    """The stable ones of float32 (N, low, low)."""
    step = _step(logits, frame, side)
    parts = [_measure(part, frame, side, offset, threshold) for part in torch.split(logits, step)]
    starts = range(0, len(logits), step)
    return Stable(
        np.concatenate([np.zeros(0, np.int64), *(p.index + s for p, s in zip(parts, starts, strict=False))]),
        np.concatenate([np.zeros(0, np.float32), *(p.stability for p in parts)]),
        np.concatenate([np.zeros((0, 4), np.int64), *(p.boxes for p in parts)]),
    )


def _measure(logits: Tensor, frame: Frame, side: int, offset: float, threshold: float) -> Stable:
    """Boxes cost as much as stability, so only masks that pass get one."""
    cells = _cells(logits, frame, side)
    stability = ratio(*cells.counts(offset))
    index = passing(stability, threshold)
    if len(index) == 0:
        return Stable(index, stability[index], np.zeros((0, 4), np.int64))
    return Stable(index, stability[index], cells.chosen(index).boxes())


def trace(logits: Tensor, frame: Frame, side: int, offset: float) -> tuple[NDArray[np.float32], list[rle.Runs]]:
    """Stability float32 (N,) and runs of all of (N, low, low)."""
    parts = [_trace(part, frame, side, offset) for part in torch.split(logits, _step(logits, frame, side))]
    return np.concatenate([stability for stability, _ in parts]), [r for _, lengths in parts for r in lengths]


def _trace(logits: Tensor, frame: Frame, side: int, offset: float) -> tuple[NDArray[np.float32], list[rle.Runs]]:
    cells = _cells(logits, frame, side)
    return ratio(*cells.counts(offset)), list(cells.runs())


def runs(logits: Tensor, frame: Frame, side: int) -> list[rle.Runs]:
    """Run lengths, column-major over the crop, of logit > 0."""
    parts = torch.split(logits, _step(logits, frame, side))
    return [r for part in parts for r in _cells(part, frame, side).runs()]


def _cells(logits: Tensor, frame: Frame, side: int) -> Cells:
    """Cells of the low-resolution logits. In a large crop these hold many pixels each, so there the first of the two
    steps is taken densely, and its model pixels make the cells."""
    low = logits.shape[-1]
    if not _wide(frame, low):
        return Cells(logits.numpy(), frame, (side, low))
    tall, wide = frame.resized
    model = F.interpolate(logits[:, None], (side, side), mode="bilinear", align_corners=False)
    return Cells(model[:, 0, :tall, :wide].numpy(), frame, None)


def _wide(frame: Frame, low: int) -> bool:
    return max(frame.size) > WIDE_CELL * low


def _step(logits: Tensor, frame: Frame, side: int) -> int:
    return max(LOGITS // (side if _wide(frame, logits.shape[-1]) else logits.shape[-1]) ** 2, 1)
