"""Prompts for one picture, in and out in the picture's own pixels, with the logits that the next round takes."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from model.backends.sam import Segmenter
from model.masks.dense import upsampled
from model.masks.frames import to_model
from model.masks.upsample import stable
from model.tasks.crops import square
from training.clicks import Click, Mask

POINTS = 64  # decoded at a time


@dataclass(frozen=True)
class Answer:
    masks: NDArray[np.bool_]  # (M, H, W)
    scores: NDArray[np.float32]  # (M,) predicted IoU
    low: Tensor  # (M, 4h, 4w) logits, for the next round

    @property
    def best(self) -> int:
        """The mask with the highest predicted IoU."""
        return int(self.scores.argmax())


class Predictor:
    """One picture's embedding, and its frame. The segmenter decides the precision and the device."""

    def __init__(self, segmenter: Segmenter, image: NDArray[np.uint8]) -> None:
        self.sam = segmenter.sam
        embedding = segmenter.embed(image)
        self.embedding, self.frame = embedding.tensor, embedding.frame

    @torch.inference_mode()
    def ask(
        self,
        clicks: Sequence[Click] = (),
        box: tuple[float, float, float, float] | None = None,
        previous: Tensor | None = None,
        multimask: bool = True,
    ) -> Answer:
        """Masks of one prompt: clicks and a box in picture pixels, and the logits of the round before."""
        device = self.sam.device
        at = np.array([[c.x, c.y] for c in clicks], np.float64).reshape(-1, 2)
        points = torch.from_numpy(to_model(at, self.frame)).float().to(device)[None]
        labels = torch.tensor([[int(c.foreground) for c in clicks]], device=device)
        corners = None
        if box is not None:
            corners = torch.from_numpy(to_model(np.array(box, np.float64).reshape(2, 2), self.frame)).float().view(1, 4)
        low, scores = self.sam.decode(
            self.embedding,
            torch.zeros(1, dtype=torch.long),
            points,
            labels,
            None if corners is None else corners.to(device),
            None if previous is None else previous.view(1, 1, *previous.shape[-2:]),
            multimask,
        )
        return Answer(self.at_full_size(low[0]) > 0, scores[0].cpu().numpy(), low[0])

    @torch.inference_mode()
    def grid(self, side: int) -> tuple[Tensor, NDArray[np.float32], NDArray[np.int64]]:
        """Three masks for each point of a grid of side x side: logits (M, 4h, 4w), predicted IoU (M,), boxes (M, 4)."""
        height, width = self.frame.size
        at = square(side) * (width, height)
        points = torch.from_numpy(to_model(at, self.frame)).float().to(self.sam.device)[:, None]
        parts = []
        for part in torch.split(points, POINTS):
            labels = torch.ones(len(part), 1, dtype=torch.long, device=part.device)
            parts.append(self.sam.decode(self.embedding, torch.zeros(len(part), dtype=torch.long), part, labels))
        low = torch.cat([logits.flatten(0, 1) for logits, _ in parts])
        scores = torch.cat([iou.flatten() for _, iou in parts]).cpu().numpy()
        return low, scores, stable(low, self.frame, self.sam.row.image_size, 0.0, 0.0).boxes

    @torch.inference_mode()
    def at_full_size(self, low: Tensor) -> NDArray[np.float32]:
        """Logits (M, 4h, 4w) → (M, H, W)."""
        full = upsampled(low.float(), self.frame, self.sam.row.image_size)
        return np.asarray(full.cpu().numpy(), np.float32)


def single(answer: Answer) -> Mask:
    """The mask with the highest predicted IoU."""
    return np.asarray(answer.masks[answer.best], np.bool_)
