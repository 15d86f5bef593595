"""What training minimises. Every loss takes logits of T tokens against G right masks and returns (…, G, T).

Source: SAM paper, section 3 and appendix A (focal + dice, least loss over the masks, IoU by MSE);
the pixel-affinity loss on the neck is ours and is dropped at export.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

FOCAL, DICE = 20.0, 2.0
EVERY_TOKEN = 0.03  # a little of each token's best, so that no token dies
ALPHA = 0.25


def mask_loss(logits: Tensor, targets: Tensor) -> Tensor:
    """logits (…, T, P), targets (…, G, P) of 0 and 1 → weighted focal + dice of every pair, (…, G, T).

    The focal loss of a pair is a sum over pixels of one of two values, so it is two matrix products.
    """
    probability = logits.sigmoid()
    inside = ALPHA * (1 - probability) ** 2 * F.softplus(-logits)
    outside = (1 - ALPHA) * probability**2 * F.softplus(logits)
    pixels = logits.shape[-1]
    focal = (targets @ (inside - outside).mT + outside.sum(-1).unsqueeze(-2)) / pixels
    overlap = targets @ probability.mT
    total = targets.sum(-1).unsqueeze(-1) + probability.sum(-1).unsqueeze(-2)
    dice = 1 - (2 * overlap + 1) / (total + 1)
    return FOCAL * focal + DICE * dice


def least_loss(pairs: Tensor, valid: Tensor) -> Tensor:
    """pairs (…, G, T) of the three tokens, valid (…, G) → (…): the mean over right masks of their best token."""
    best = pairs.min(-1).values * valid
    own = pairs.masked_fill(~valid.unsqueeze(-1), torch.inf).min(-2).values
    own = torch.where(torch.isfinite(own), own, 0.0).sum(-1)
    return best.sum(-1) / valid.sum(-1).clamp_min(1) + EVERY_TOKEN * own


@torch.no_grad()
def true_iou(logits: Tensor, targets: Tensor) -> Tensor:
    """IoU of every pair, logits (…, T, P) against targets (…, G, P) → (…, G, T)."""
    masks = (logits > 0).to(targets.dtype)
    overlap = targets @ masks.mT
    union = targets.sum(-1).unsqueeze(-1) + masks.sum(-1).unsqueeze(-2) - overlap
    return overlap / union.clamp_min(1)


def affinity_loss(embedding: Tensor, anchors: Tensor, targets: Tensor, scale: Tensor, offset: Tensor) -> Tensor:
    """Pixels of one mask should lie close together: a mask around each click by distance in embedding space.

    embedding (B, D, h, w); anchors (B, n) flat pixel index of each click; targets (B, n, h·w) → focal + dice.
    """
    flat = embedding.flatten(2)  # (B, D, P)
    at = torch.gather(flat, 2, anchors.unsqueeze(1).expand(-1, flat.shape[1], -1))  # (B, D, n)
    square = at.square().sum(1).unsqueeze(-1) - 2 * at.mT @ flat + flat.square().sum(1).unsqueeze(1)
    logits = (offset - scale * square).unsqueeze(-2)  # (B, n, 1, P)
    return mask_loss(logits, targets.unsqueeze(-2)).squeeze(-1).squeeze(-1)
