"""Low-resolution logits → stability, boxes and runs at the size of their crop, in bounded memory.

On the CPU by `cells`; elsewhere densely, a chunk of masks at a time, the chunk's size taken from H·W.
"""

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from model.masks import rle
from model.masks.cells import Cells
from model.masks.frames import Frame

DENSE_PIXELS = 1 << 27  # full-size logits held at a time by the dense path: 0.5 GB of float32
CELL_LOGITS = 1 << 19  # logits gone through at a time by the cell path: 2 MB
WIDE_CELL = 10  # pixels a side from which model pixels make better cells than low-resolution ones


@dataclass(frozen=True)
class Stable:
    """The masks of N that are stable enough: their `index` (K,), `stability` float32 (K,), inclusive `boxes` (K, 4).

    Boxes are x0, y0, x1, y1 in crop pixels of logit > 0; zeros for an empty mask. Host arrays.
    """

    index: NDArray[np.int64]
    stability: NDArray[np.float32]
    boxes: NDArray[np.int64]


def dense(logits: Tensor, frame: Frame, side: int) -> Tensor:
    """float32 (N, low, low) → (N, H, W) logits at the crop's size: the reference's two bilinear steps."""
    tall, wide = frame.resized
    model = F.interpolate(logits[:, None], (side, side), mode="bilinear", align_corners=False)
    return F.interpolate(model[..., :tall, :wide], frame.size, mode="bilinear", align_corners=False)[:, 0]


def stable(logits: Tensor, frame: Frame, side: int, offset: float, threshold: float) -> Stable:
    """Keeps those of float32 (N, low, low) whose stability is ≥ threshold; all of them where that is 0.

    Stability is the count of logits > +offset over that of logits > −offset; NaN, which passes no threshold,
    where the latter is 0.
    """
    if logits.device.type != "cpu":
        return _measure_dense(logits, frame, side, offset, threshold)
    step = _cell_step(logits, frame, side)
    parts = [_measure_cells(part, frame, side, offset, threshold) for part in torch.split(logits, step)]
    starts = range(0, len(logits), step)
    return Stable(
        np.concatenate([np.zeros(0, np.int64), *(p.index + s for p, s in zip(parts, starts, strict=False))]),
        np.concatenate([np.zeros(0, np.float32), *(p.stability for p in parts)]),
        np.concatenate([np.zeros((0, 4), np.int64), *(p.boxes for p in parts)]),
    )


def _cells(logits: Tensor, frame: Frame, side: int) -> Cells:
    """In a large image a cell of low-resolution logits holds many pixels, most of them in no doubt: then the first
    of the two steps is taken densely, and its model pixels are the cells."""
    low = logits.shape[-1]
    if not _wide(frame, low):
        return Cells(logits.numpy(), frame, (side, low))
    tall, wide = frame.resized
    model = F.interpolate(logits[:, None], (side, side), mode="bilinear", align_corners=False)
    return Cells(model[:, 0, :tall, :wide].numpy(), frame, None)


def _wide(frame: Frame, low: int) -> bool:
    return max(frame.size) > WIDE_CELL * low


def _cell_step(logits: Tensor, frame: Frame, side: int) -> int:
    return max(CELL_LOGITS // (side if _wide(frame, logits.shape[-1]) else logits.shape[-1]) ** 2, 1)


def _dense_step(frame: Frame, side: int) -> int:
    return max(DENSE_PIXELS // (frame.size[0] * frame.size[1] + side * side), 1)


def _ratio(above: NDArray[np.int64], below: NDArray[np.int64]) -> NDArray[np.float32]:
    with np.errstate(invalid="ignore"):
        ratio: NDArray[np.float32] = np.divide(above, below, dtype=np.float32, casting="same_kind")
    return ratio


def _passing(stability: NDArray[np.float32], threshold: float) -> NDArray[np.int64]:
    return np.flatnonzero(stability >= threshold) if threshold > 0 else np.arange(len(stability))


def _measure_cells(logits: Tensor, frame: Frame, side: int, offset: float, threshold: float) -> Stable:
    """Boxes, which cost as much again, are taken of those that pass only."""
    cells = _cells(logits, frame, side)
    stability = _ratio(*cells.counts(offset))
    index = _passing(stability, threshold)
    if len(index) == 0:
        return Stable(index, stability[index], np.zeros((0, 4), np.int64))
    return Stable(index, stability[index], cells.chosen(index).boxes())


def _measure_dense(logits: Tensor, frame: Frame, side: int, offset: float, threshold: float) -> Stable:
    """Of full-size logits, a chunk at a time; the host waits once, for the figures of all chunks."""
    chunks = torch.split(logits, _dense_step(frame, side))
    host = torch.cat([_figures(chunk, frame, side, offset) for chunk in chunks], 1).cpu().numpy()
    stability = _ratio(host[0], host[1])
    index = _passing(stability, threshold)
    return Stable(index, stability[index], host[2:].T[index])


def _figures(logits: Tensor, frame: Frame, side: int, offset: float) -> Tensor:
    """(N, low, low) → (6, N) on their device: both counts of stability and the box, zeros for an empty mask.

    No flat index over N·H·W is ever formed: they pass 2^31.
    """
    full = dense(logits, frame, side)
    inside = full > 0
    (y0, y1), (x0, x1) = _extent(inside.any(2)), _extent(inside.any(1))
    boxes = [v.where(y1 >= 0, 0) for v in (x0, y0, x1, y1)]
    return torch.stack([*_counts(full, offset), *boxes])


def _extent(on: Tensor) -> tuple[Tensor, Tensor]:
    """bool (N, L) → first and last set index (L and −1 where none is)."""
    at = torch.arange(on.shape[1], device=on.device)
    return torch.where(on, at, on.shape[1]).amin(1), torch.where(on, at, -1).amax(1)


def runs(logits: Tensor, frame: Frame, side: int) -> list[rle.Runs]:
    """Run lengths, column-major over the crop, of logit > 0 at the crop's size; only they reach the host."""
    if logits.device.type == "cpu":
        parts = torch.split(logits, _cell_step(logits, frame, side))
        return [r for part in parts for r in _cells(part, frame, side).runs()]
    chunks = torch.split(logits, _dense_step(frame, side))
    return [r for chunk in chunks for r in _dense_runs(dense(chunk, frame, side) > 0)]


def traced(logits: Tensor, frame: Frame, side: int, offset: float) -> tuple[NDArray[np.float32], list[rle.Runs]]:
    """Stability float32 (N,) and runs of all of (N, low, low) in one pass: for masks that nothing filters."""
    cpu = logits.device.type == "cpu"
    trace = _trace_cells if cpu else _trace_dense
    step = _cell_step(logits, frame, side) if cpu else _dense_step(frame, side)
    parts = [trace(part, frame, side, offset) for part in torch.split(logits, step)]
    return np.concatenate([stability for stability, _ in parts]), [r for _, lengths in parts for r in lengths]


def _trace_cells(logits: Tensor, frame: Frame, side: int, offset: float) -> tuple[NDArray[np.float32], list[rle.Runs]]:
    cells = _cells(logits, frame, side)
    return _ratio(*cells.counts(offset)), list(cells.runs())


def _trace_dense(logits: Tensor, frame: Frame, side: int, offset: float) -> tuple[NDArray[np.float32], list[rle.Runs]]:
    full = dense(logits, frame, side)
    above, below = torch.stack(_counts(full, offset)).cpu().numpy()
    return _ratio(above, below), _dense_runs(full > 0)


def _counts(full: Tensor, offset: float) -> list[Tensor]:
    """Pixels of (N, H, W) above +offset, and above −offset: (N,) each."""
    return [(full > t).sum(2, dtype=torch.int32).sum(1) for t in (offset, -offset)]


def _dense_runs(masks: Tensor) -> list[rle.Runs]:
    """bool (N, H, W) on a device → run lengths on the host, one transfer for all masks."""
    count, total = len(masks), masks.shape[1] * masks.shape[2]
    columns = masks.mT.reshape(count, total)
    owner, at = (columns[:, 1:] != columns[:, :-1]).nonzero(as_tuple=True)
    sizes = torch.bincount(owner, minlength=count)
    packed = torch.cat([columns[:, 0].long(), sizes, at + 1]).cpu().numpy()
    sizes_host, flips = packed[count : 2 * count], packed[2 * count :]
    ends = sizes_host.cumsum()
    found = zip(packed[:count], ends - sizes_host, ends, strict=True)
    return [rle.from_changes(flips[a:b], bool(inside), total) for inside, a, b in found]
