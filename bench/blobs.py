"""Random weights whose masks are blobs of many sizes, so that the steps after the networks have realistic work.

A plainly random SAM answers with white noise: no stability, a million runs a mask, no box smaller than the image.
The same weights, with pixel features smoothed and the hypernetworks' last layers fitted to one image, give
rounded masks with outlines as sharp as a trained model's. Every layer still does all of its work.
"""

import torch
from torch import Tensor

from model.networks.sam import Sam

CONTENT = 0.3  # share of the image in the cells
SHARPNESS = 30.0  # standard deviation of the logits within a mask
STEADY = 6  # directions of the features given up to keep a mask's mean where it is put
SHRINK = (1.5, 0.5, 1.0, 1.5)  # how many deviations below zero the mean logit of each mask token lies


@torch.no_grad()
def as_blobs(sam: Sam, pixels: Tensor, content: float = CONTENT, attention: float = 3.0) -> Sam:
    """Changes a seeded float32 model in place, fitted to pixels (1, 3, S, S) as `encode` takes them."""
    state = sam.state_dict()
    for name in [n for n in state if n.startswith("image_encoder.neck.3.")]:
        state[name].mul_(content)
    for name in [n for n in state if "cross_attn_image_to_token.q_proj" in n]:
        state[name].mul_(attention)
    for layer in ("0", "3"):
        weight = state[f"mask_decoder.output_upscaling.{layer}.weight"]  # (in, out, 2, 2)
        weight.copy_(weight.mean((2, 3), keepdim=True).expand_as(weight) * 2)
    _fit(sam, state, pixels)
    return sam


def _fit(sam: Sam, state: dict[str, Tensor], pixels: Tensor) -> None:
    """The hypernetworks lose the features' mean direction, gain sharpness, and get a mean below zero back."""
    at = torch.linspace(0.1, 0.9, 5) * sam.row.image_size
    points = torch.cartesian_prod(at, at)[:, None].to(pixels.device)
    labels, images = torch.ones_like(points[..., 0], dtype=torch.int64), torch.zeros(len(points), dtype=torch.int64)
    embedding = sam.encode(pixels)
    decoded = sam.decode_tokens(embedding, images, points, labels)
    each = torch.stack([sam.mask_decoder.upscale(s[None]).flatten(0, -2) for s in decoded.source])
    means, features = each.mean(1), each.flatten(0, 1)
    mean = means.mean(0)
    shifts = torch.linalg.svd(torch.cat([mean[None] * 9, means - mean]), full_matrices=False).Vh[:STEADY]
    away = torch.eye(len(mean), device=mean.device) - shifts.T @ shifts  # what only moves whole masks up and down
    for token, shrink in enumerate(SHRINK):
        name = f"mask_decoder.output_hypernetworks_mlps.{token}.layers.2."
        for leaf in ("weight", "bias"):
            state[name + leaf].copy_(away @ state[name + leaf])
        hyper = sam.decode_tokens(embedding, images, points, labels, multimask=token > 0).hyper
        logits = hyper[:, max(token - 1, 0)] @ (features - mean)[::17].T
        scale = SHARPNESS / logits.std(1).mean()
        for leaf in ("weight", "bias"):
            state[name + leaf].mul_(scale)
        state[name + "bias"].sub_(shrink * SHARPNESS * mean / mean.dot(mean))
