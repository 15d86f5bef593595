"""Low-resolution logits → measures and masks at the size of their crop, in bounded memory.

On the CPU by `cells`; elsewhere densely, a chunk of masks at a time, the chunk's size taken from H·W.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from model import rle
from model.cells import FAR, Grid
from model.frames import Frame
from model.measures import Measures

DENSE_PIXELS = 1 << 27  # full-size logits held at a time by the dense path: 0.5 GB of float32
CELL_LOGITS = 1 << 21  # low-resolution logits gone through at a time by the cell path: 8 MB


def dense(logits: Tensor, frame: Frame, side: int) -> Tensor:
    """float32 (N, low, low) → (N, H, W) logits at the crop's size: the reference's two bilinear steps."""
    tall, wide = frame.resized
    model = F.interpolate(logits[:, None], (side, side), mode="bilinear", align_corners=False)
    return F.interpolate(model[..., :tall, :wide], frame.size, mode="bilinear", align_corners=False)[:, 0]


def measures(logits: Tensor, frame: Frame, side: int, offset: float) -> Measures:
    """Counts at ±offset and boxes at 0 of float32 (N, low, low) logits, in crop pixels."""
    cpu = logits.device.type == "cpu"
    grid = Grid(frame, side, logits.shape[-1]) if cpu else None
    step = _step(logits, frame, side, cpu)
    parts = [
        grid.measures(p, offset) if grid else _dense_measures(dense(p, frame, side), offset)
        for p in torch.split(logits, step)
    ]
    return Measures(*(torch.cat([getattr(p, n) for p in parts]) for n in ("above", "below", "boxes")))


def _step(logits: Tensor, frame: Frame, side: int, cpu: bool) -> int:
    if cpu:
        return max(CELL_LOGITS // (logits.shape[-1] ** 2), 1)
    return max(DENSE_PIXELS // (frame.size[0] * frame.size[1] + side * side), 1)


def _dense_measures(full: Tensor, offset: float) -> Measures:
    """Of (N, H, W) full-size logits; no flat index over N·H·W is ever formed (they pass 2^31)."""
    above, below = ((full > t).sum(2, dtype=torch.int32).sum(1) for t in (offset, -offset))
    inside = full > 0
    (y0, y1), (x0, x1) = _extent(inside.any(2)), _extent(inside.any(1))
    boxes = torch.stack([x0, y0, x1, y1], 1)
    return Measures(above, below, torch.where(y1[:, None] < 0, 0, boxes))


def _extent(on: Tensor) -> tuple[Tensor, Tensor]:
    """bool (N, L) → first and last set index (FAR and −1 where none is)."""
    at = torch.arange(on.shape[1], device=on.device)
    return torch.where(on, at, FAR).amin(1), torch.where(on, at, -1).amax(1)


def runs(logits: Tensor, frame: Frame, side: int) -> list[rle.Runs]:
    """Run lengths, column-major over the crop, of logit > 0 at the crop's size; only they reach the host."""
    if logits.device.type == "cpu":
        grid = Grid(frame, side, logits.shape[-1])
        return [rle.runs(grid.mask(mask)) for mask in logits]
    step = _step(logits, frame, side, cpu=False)
    return [r for part in torch.split(logits, step) for r in _dense_runs(dense(part, frame, side) > 0)]


def _dense_runs(masks: Tensor) -> list[rle.Runs]:
    """bool (N, H, W) on a device → run lengths on the host, one transfer for all masks."""
    count, total = len(masks), masks.shape[1] * masks.shape[2]
    columns = masks.mT.reshape(count, total)
    owner, at = (columns[:, 1:] != columns[:, :-1]).nonzero(as_tuple=True)
    sizes = torch.bincount(owner, minlength=count)
    packed = torch.cat([columns[:, 0].long(), sizes, at + 1]).cpu().numpy()
    first, ends = packed[:count], packed[count : 2 * count].cumsum()
    flips = packed[2 * count :]
    return [
        rle.from_changes(flips[a:b], bool(f), total)
        for f, a, b in zip(first, ends - packed[count : 2 * count], ends, strict=True)
    ]
