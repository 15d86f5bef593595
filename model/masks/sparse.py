"""Full-size masks by cells, some masks at a time. This is the CPU's path.

The passes over cells are compiled where numba is installed. Their results equal those of `Cells`.
"""

from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from model import jit
from model.masks import rle
from model.masks.cells import Cells
from model.masks.compiled import CompiledCells
from model.masks.frames import Frame, whole
from model.masks.stability import Stable, passing, ratio

LOGITS = 1 << 19  # gone through at a time: 2 MB
COMPILED_LOGITS = 1 << 22  # the same for compiled cells, which store nothing beside them


def measure(logits: Tensor, frame: Frame, side: int, offset: float, threshold: float) -> Stable:
    """The stable ones of float32 (N, low, low)."""
    step = _step(logits)
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
    parts = [_trace(part, frame, side, offset) for part in torch.split(logits, _step(logits))]
    return np.concatenate([stability for stability, _ in parts]), [r for _, lengths in parts for r in lengths]


def _trace(logits: Tensor, frame: Frame, side: int, offset: float) -> tuple[NDArray[np.float32], list[rle.Runs]]:
    cells = _cells(logits, frame, side)
    return ratio(*cells.counts(offset)), list(cells.runs())


def runs(logits: Tensor, frame: Frame, side: int) -> list[rle.Runs]:
    """Run lengths, column-major over the crop, of logit > 0."""
    parts = torch.split(logits, _step(logits))
    return [r for part in parts for r in _cells(part, frame, side).runs()]


def warm() -> None:
    """Take each pass once. The first time on a machine, that compiles them, which takes some seconds."""
    blank, frame = torch.zeros(1, 4, 4), whole(8, 8, 16)
    measure(blank, frame, 16, 1.0, 0.0)
    runs(blank, frame, 16)


def _cells(logits: Tensor, frame: Frame, side: int) -> Cells | CompiledCells:
    kind, low = CompiledCells if jit.AVAILABLE else Cells, logits.shape[-1]
    if frame.stretched:  # resized in one step: the first one changes nothing
        frame, side = replace(frame, resized=(low, low)), low
    return kind(logits.numpy(), frame, (side, low))


def _step(logits: Tensor) -> int:
    most = COMPILED_LOGITS if jit.AVAILABLE else LOGITS
    return max(most // logits.shape[-1] ** 2, 1)
