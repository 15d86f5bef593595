"""Masks of one crop that passed the filters and wait for suppression."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from model.masks import rle
from model.masks.frames import Frame
from model.masks.upsample import runs

HELD_BYTES = 1 << 29


class Candidates:
    """Candidates, held as low-resolution logits up to HELD_BYTES, or up to `room` bytes where that is more.

    Suppression leaves few of them, so runs at full size are computed after it. Candidates beyond the budget become
    runs at once. Runs are small, so memory does not grow with the number of points.
    """

    def __init__(self, frame: Frame, side: int, room: int = 0) -> None:
        self.frame, self.side = frame, side
        self._budget = max(HELD_BYTES, room)
        self.boxes: NDArray[np.int64] = np.zeros((0, 4), np.int64)  # x0 y0 x1 y1 inclusive, image pixels
        self.iou: NDArray[np.float32] = np.zeros(0, np.float32)
        self.stability: NDArray[np.float32] = np.zeros(0, np.float32)
        self.points: NDArray[np.float64] = np.zeros((0, 2))  # xy, image pixels
        self._held: list[Tensor | rle.Runs] = []
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._held)

    def add(
        self,
        logits: Tensor,
        boxes: NDArray[np.int64],
        iou: NDArray[np.float32],
        stability: NDArray[np.float32],
        points: NDArray[np.float64],
    ) -> None:
        """logits float32 (K, low, low); boxes, points in image pixels."""
        self.boxes = np.concatenate([self.boxes, boxes])
        self.iou = np.concatenate([self.iou, iou])
        self.stability = np.concatenate([self.stability, stability])
        self.points = np.concatenate([self.points, points])
        self._bytes += logits.numel() * logits.element_size()
        self._held += list(logits) if self._bytes <= self._budget else runs(logits, self.frame, self.side)

    def keep(self, index: NDArray[np.int64]) -> None:
        """Drop all but these, and put them in this order."""
        self.boxes, self.iou, self.stability = self.boxes[index], self.iou[index], self.stability[index]
        self.points = self.points[index]
        self._held = [self._held[i] for i in index]
        kept = [h for h in self._held if isinstance(h, Tensor)]
        if kept:  # copies, because a slice keeps its whole batch in memory
            fresh = iter(torch.stack(kept))
            self._held = [next(fresh) if isinstance(h, Tensor) else h for h in self._held]

    def runs(self) -> list[rle.Runs]:
        """The runs of each candidate over the crop."""
        waiting = [h for h in self._held if isinstance(h, Tensor)]
        fresh = iter(runs(torch.stack(waiting), self.frame, self.side) if waiting else [])
        return [next(fresh) if isinstance(h, Tensor) else h for h in self._held]
