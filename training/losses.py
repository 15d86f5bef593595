"""The losses of training, for logits of T tokens against G right masks.

Source: SAM paper, section 3 and appendix A (focal and dice, least loss over the masks, IoU by MSE). A target is the
share of a cell that the mask covers, so that borders are learned to a fraction of a cell. For such targets focal is the
quality focal loss (arXiv 2006.04388), and dice has squares below (arXiv 1606.04797). The affinity loss is ours.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

FOCAL, DICE = 20.0, 2.0
EVERY_TOKEN = 0.03  # weight of each token's own best mask, so that every token learns
BALANCE = 0.5  # of the quality focal loss, as the published focal loss weighs on average


def mask_loss(logits: Tensor, targets: Tensor) -> Tensor:
    """logits (…, T, P), targets (…, G, P) in 0..1 → weighted focal + dice of every pair, (…, G, T).

    (t - p)² · cross entropy is a polynomial of degree three in t. So the sum over pixels is three matrix products, and
    no tensor has an entry for every pair and pixel.
    """
    p, x, empty = logits.sigmoid(), logits, F.softplus(logits)  # cross entropy = softplus(x) - t·x
    square, overlap = p.square(), targets @ p.mT
    by_power = (-2 * p * empty - square * x, empty + 2 * p * x, -x)
    focal = (square * empty).sum(-1).unsqueeze(-2) + sum(targets**k @ f.mT for k, f in enumerate(by_power, 1))
    total = targets.square().sum(-1).unsqueeze(-1) + square.sum(-1).unsqueeze(-2)
    dice = 1 - (2 * overlap + 1) / (total + 1)
    return FOCAL * BALANCE * focal / logits.shape[-1] + DICE * dice


def least_loss(pairs: Tensor, valid: Tensor) -> Tensor:
    """pairs (…, G, T) of the three tokens, valid (…, G) → (…): the mean over right masks of the least loss."""
    best = pairs.min(-1).values * valid
    own = pairs.masked_fill(~valid.unsqueeze(-1), torch.inf).min(-2).values
    own = torch.where(torch.isfinite(own), own, 0.0).sum(-1)
    return best.sum(-1) / valid.sum(-1).clamp_min(1) + EVERY_TOKEN * own


@torch.no_grad()
def true_iou(logits: Tensor, targets: Tensor) -> Tensor:
    """IoU of every pair, in cells: logits (…, T, P), targets (…, G, P) → (…, G, T)."""
    masks, targets = (logits > 0).to(targets.dtype), (targets >= 0.5).to(targets.dtype)
    overlap = targets @ masks.mT
    union = targets.sum(-1).unsqueeze(-1) + masks.sum(-1).unsqueeze(-2) - overlap
    return overlap / union.clamp_min(1)


def affinity_loss(embedding: Tensor, anchors: Tensor, targets: Tensor, scale: Tensor, offset: Tensor) -> Tensor:
    """Focal and dice of the mask around each click by distance in embedding space: pixels of a mask should be close.

    embedding (B, D, h, w); anchors (B, n) flat pixel index of each click; targets (B, n, h·w).
    """
    flat = embedding.flatten(2)  # (B, D, P)
    at = torch.gather(flat, 2, anchors.unsqueeze(1).expand(-1, flat.shape[1], -1))  # (B, D, n)
    square = at.square().sum(1).unsqueeze(-1) - 2 * at.mT @ flat + flat.square().sum(1).unsqueeze(1)
    logits = (offset - scale * square).unsqueeze(-2)  # (B, n, 1, P)
    return mask_loss(logits, targets.unsqueeze(-2)).squeeze(-1).squeeze(-1)
