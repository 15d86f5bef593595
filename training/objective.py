"""The loss of one step: a round of prompts, and on some steps a second round of correction clicks."""

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from model.networks.sam import Sam
from training.decoding import Phase, Prediction, pick_phase, predict
from training.losses import affinity_loss, least_loss, mask_loss, true_iou
from training.prompts import BACKGROUND, CORNER_0, FOREGROUND, PADDING, Batch

SINGLE, BOX_SINGLE, EARLY, AFFINITY = 0.5, 1.0, 0.5, 0.3
AFFINITY_DIM = 16
CORRECTED = 5  # prompts of an image that get a correction click


class AffinityHead(nn.Module):
    """An auxiliary head that reads an embedding for each low-resolution pixel off the neck. It is not exported."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.project = nn.Conv2d(channels, AFFINITY_DIM * 16, 1)
        self.scale = nn.Parameter(torch.tensor(0.5))
        self.offset = nn.Parameter(torch.tensor(2.0))

    def forward(self, embedding: Tensor) -> Tensor:
        return F.pixel_shuffle(self.project(embedding), 4)  # (B, D, 4h, 4w)


@dataclass(frozen=True)
class Weights:
    """Weights of the loss that change over a run."""

    iou: float
    corrections: bool


def _round_loss(
    found: Prediction, targets: Tensor, batch: Batch, iou_weight: float
) -> tuple[Tensor, dict[str, Tensor]]:
    """found: logits (B, n, 4, P), predicted IoU (B, n, 4); targets (B, n, LEVELS, P)."""
    pairs = mask_loss(found.logits, targets)  # (B, n, LEVELS, 4)
    index = batch.sampled[..., None, None]
    asked = pairs.gather(2, index.expand(-1, -1, 1, 4)).squeeze(2)[..., 0]
    is_box = (batch.kinds == CORNER_0).any(-1)
    multi = least_loss(pairs[..., 1:], batch.valid)
    weight = torch.where(is_box, BOX_SINGLE, SINGLE)
    answerable = batch.valid.any(-1)
    count = answerable.sum().clamp_min(1)
    masks = ((multi + weight * asked) * answerable).sum() / count
    true = true_iou(found.logits, targets) * batch.valid.unsqueeze(-1)  # (B, n, LEVELS, 4)
    single = true.gather(2, index.expand(-1, -1, 1, 4)).squeeze(2)[..., :1]
    best = torch.cat([single, true.max(2).values[..., 1:]], -1)
    iou = ((found.iou - best).square().mean(-1) * answerable).sum() / count
    parts = {
        "masks": masks.detach(),
        "iou": iou.detach(),
        "true": (best[..., 1:].max(-1).values * answerable).sum() / count,
    }
    return masks + iou_weight * iou, parts


def step_loss(
    sam: Sam, head: AffinityHead, batch: Batch, rng: np.random.Generator, weights: Weights
) -> tuple[Tensor, dict[str, Tensor]]:
    """The loss to differentiate and its parts, as zero-dimensional tensors."""
    embedding = sam.encode(batch.pixels)
    phase: Phase = (int(rng.integers(2)), int(rng.integers(2)))
    targets = pick_phase(batch.targets, phase)
    early, last = predict(sam, embedding, batch.points, batch.kinds, None, phase, deep=True)
    loss, parts = _round_loss(last, targets, batch, weights.iou)
    loss = loss + EARLY * _round_loss(early, targets, batch, weights.iou)[0]
    affinity = _affinity(head, embedding, batch)
    parts["affinity"] = affinity.detach()
    loss = loss + AFFINITY * affinity
    if weights.corrections:
        loss = loss + _corrections(sam, embedding, batch.first(CORRECTED), rng, weights)
    return loss, parts


def _affinity(head: AffinityHead, embedding: Tensor, batch: Batch) -> Tensor:
    """The affinity loss around the clicks, for their whole objects."""
    pixels = head(embedding)
    side = pixels.shape[-1]
    at = (batch.points[:, :, 0] / 4).long().clamp(0, side - 1)
    wanted = batch.targets[:, :, 0].flatten(-2)
    usable = (batch.kinds[:, :, 0] == FOREGROUND) & batch.valid[:, :, 0]
    each = affinity_loss(pixels, at[..., 1] * side + at[..., 0], wanted, head.scale, head.offset)
    return (each * usable).sum() / usable.sum().clamp_min(1)


def _error_click(rng: np.random.Generator, wrong: Tensor, inside: Tensor) -> tuple[tuple[float, float], int]:
    """A click on a random pixel of the error, in model pixels: foreground where mask is missing, else background."""
    found = torch.nonzero(wrong)
    y, x = found[int(rng.integers(len(found)))].tolist()
    return (4.0 * x + 1.5, 4.0 * y + 1.5), FOREGROUND if bool(inside[y, x]) else BACKGROUND


def _corrections(sam: Sam, embedding: Tensor, batch: Batch, rng: np.random.Generator, weights: Weights) -> Tensor:
    """The loss of a second round: a click in the error of the best mask, with that mask as a prompt.

    Only the sampled level is a right answer. Finding errors takes every pixel, so only few prompts take part.
    """
    side = batch.targets.shape[-1]
    targets = batch.targets.flatten(-2)
    asked = batch.sampled[..., None, None]
    wanted = targets.gather(2, asked.expand(-1, -1, 1, targets.shape[-1]))  # (B, n, 1, P)
    with torch.no_grad():
        (before,) = predict(sam, embedding, batch.points, batch.kinds, None, None, deep=False)
        chosen = true_iou(before.logits, wanted).squeeze(2).argmax(-1)
        previous = before.logits.gather(2, chosen[..., None, None].expand(-1, -1, 1, before.logits.shape[-1])).squeeze(
            2
        )
    inside = (wanted.squeeze(2) > 0.5).view(*batch.sampled.shape, side, side)
    previous = previous.view_as(inside)
    wrong = (previous > 0) != inside
    points = torch.cat([torch.zeros_like(batch.points[:, :, :1]), batch.points], 2)
    kinds = torch.cat([torch.full_like(batch.kinds[:, :, :1], PADDING), batch.kinds], 2)
    for b, n in torch.nonzero(wrong.flatten(-2).any(-1)).tolist():
        xy, kind = _error_click(rng, wrong[b, n], inside[b, n])
        points[b, n, 0], kinds[b, n, 0] = torch.tensor(xy), kind
    (found,) = predict(sam, embedding, points, kinds, previous, None, deep=False)
    only = batch.valid & (torch.arange(batch.valid.shape[-1]) == batch.sampled.unsqueeze(-1))
    again = Batch(batch.pixels, points, kinds, batch.targets, only, batch.sampled)
    return _round_loss(found, targets, again, weights.iou)[0]
