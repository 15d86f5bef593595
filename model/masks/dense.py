"""Full-size masks by interpolating every pixel, a chunk of masks at a time. This is the GPU's path."""

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from model.masks import rle
from model.masks.frames import Frame
from model.masks.stability import Stable, passing, ratio

PIXELS = 1 << 27  # full-size logits held at a time: 0.5 GB of float32


def upsampled(logits: Tensor, frame: Frame, side: int) -> Tensor:
    """float32 (N, low, low) → (N, H, W) logits at the crop's size, by the reference's two bilinear steps.

    One step where the crop was stretched.
    """
    if frame.stretched:
        return F.interpolate(logits[:, None], frame.size, mode="bilinear", align_corners=False)[:, 0]
    tall, wide = frame.resized
    model = F.interpolate(logits[:, None], (side, side), mode="bilinear", align_corners=False)
    return F.interpolate(model[..., :tall, :wide], frame.size, mode="bilinear", align_corners=False)[:, 0]


def measure(logits: Tensor, frame: Frame, side: int, offset: float, threshold: float) -> Stable:
    """The stable ones of float32 (N, low, low). The host waits once, for the figures of all chunks."""
    chunks = _chunks(logits, frame, side)
    host = torch.cat([figures(chunk, frame, side, offset) for chunk in chunks], 1).cpu().numpy()
    stability = ratio(host[0], host[1])
    index = passing(stability, threshold)
    return Stable(index, stability[index], host[2:].T[index])


def trace(logits: Tensor, frame: Frame, side: int, offset: float) -> tuple[NDArray[np.float32], list[rle.Runs]]:
    """Stability float32 (N,) and runs of all of (N, low, low)."""
    parts = [_trace(chunk, frame, side, offset) for chunk in _chunks(logits, frame, side)]
    return np.concatenate([stability for stability, _ in parts]), [r for _, lengths in parts for r in lengths]


def _trace(logits: Tensor, frame: Frame, side: int, offset: float) -> tuple[NDArray[np.float32], list[rle.Runs]]:
    full = upsampled(logits, frame, side)
    above, below = torch.stack(_counts(full, offset)).cpu().numpy()
    return ratio(above, below), _runs(full > 0)


def runs(logits: Tensor, frame: Frame, side: int) -> list[rle.Runs]:
    """Run lengths, column-major over the crop, of logit > 0. Only they reach the host."""
    return [r for chunk in _chunks(logits, frame, side) for r in _runs(upsampled(chunk, frame, side) > 0)]


def _chunks(logits: Tensor, frame: Frame, side: int) -> tuple[Tensor, ...]:
    step = max(PIXELS // (frame.size[0] * frame.size[1] + side * side), 1)
    return torch.split(logits, step)


def figures(logits: Tensor, frame: Frame, side: int, offset: float) -> Tensor:
    """(N, low, low) → (6, N) on their device: both counts of stability, then the box, zeros for an empty mask.

    Nothing here uses a flat index over N·H·W, which can pass 2^31.
    """
    full = upsampled(logits, frame, side)
    inside = full > 0
    (y0, y1), (x0, x1) = _extent(inside.any(2)), _extent(inside.any(1))
    boxes = [v.where(y1 >= 0, 0) for v in (x0, y0, x1, y1)]
    return torch.stack([*_counts(full, offset), *boxes])


def _extent(on: Tensor) -> tuple[Tensor, Tensor]:
    """bool (N, L) → first and last set index (L and −1 where none is)."""
    at = torch.arange(on.shape[1], device=on.device)
    return torch.where(on, at, on.shape[1]).amin(1), torch.where(on, at, -1).amax(1)


def _counts(full: Tensor, offset: float) -> list[Tensor]:
    """Pixels of (N, H, W) above +offset, and above −offset: (N,) each."""
    return [(full > t).sum(2, dtype=torch.int32).sum(1) for t in (offset, -offset)]


def _runs(masks: Tensor) -> list[rle.Runs]:
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
