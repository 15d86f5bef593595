"""Layers that several networks share: per-pixel LayerNorm, two kinds of MLP, SAM's neck."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def gelu(x: Tensor) -> Tensor:
    """Exact GELU, in place where no gradient needs the argument.

    A second tensor of that size costs more than the arithmetic."""
    if torch.is_grad_enabled():
        return F.gelu(x)
    out: Tensor = torch.ops.aten.gelu_(x)
    return out


class LayerNorm2d(nn.Module):
    """LayerNorm over the channels of each pixel of (B, C, H, W); eps 1e-6 as in SAM."""

    def __init__(self, channels: int, eps: float = 1e-6) -> None:
        super().__init__()
        reference = nn.LayerNorm(channels)
        self.weight, self.bias, self.eps = reference.weight, reference.bias, eps

    def forward(self, x: Tensor) -> Tensor:
        # For a channels-last tensor the permutation is contiguous, so nothing is copied.
        x = F.layer_norm(x.permute(0, 2, 3, 1), self.weight.shape, self.weight, self.bias, self.eps)
        return x.permute(0, 3, 1, 2)


class Mlp(nn.Module):
    """lin2(act(lin1(x))): GELU in the ViT, ReLU in the decoder's transformer."""

    def __init__(self, dim: int, hidden: int, act: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.lin1 = nn.Linear(dim, hidden)
        self.lin2 = nn.Linear(hidden, dim)
        self.act = act

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.lin2(self.act(self.lin1(x)))
        return out


class DeepMlp(nn.Module):
    """`depth` linear layers with ReLU between: the decoder's hypernetworks and IoU head."""

    def __init__(self, dim: int, hidden: int, out: int, depth: int) -> None:
        super().__init__()
        widths = [dim, *[hidden] * (depth - 1), out]
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(widths))

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers[:-1]:
            x = F.relu(layer(x))
        out: Tensor = self.layers[-1](x)
        return out


def neck(dim: int, out: int) -> nn.Sequential:
    """SAM's neck, (B, dim, h, w) -> (B, out, h, w): 1x1 and 3x3 convolutions, each with a LayerNorm2d."""
    return nn.Sequential(
        nn.Conv2d(dim, out, 1, bias=False),
        LayerNorm2d(out),
        nn.Conv2d(out, out, 3, padding=1, bias=False),
        LayerNorm2d(out),
    )
