"""The TinyViT family of image encoders: MobileSAM's, and `sam_tiny`'s smaller one.

Source: TinyViT (arXiv 2207.10666), MobileSAM (arXiv 2306.14289). State-dict names are those of the
published mobile_sam.pt. Each stage states its stride; the published class derives it from a width.
"""

from __future__ import annotations

from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from model.networks.image_encoder import from_windows, to_windows
from model.networks.layers import neck
from model.sizes import Size, Stage

EXPANSION = 4  # of MBConv's hidden channels


class ConvNorm(nn.Module):
    """Convolution without bias, then BatchNorm. Outside training one convolution does both."""

    def __init__(self, dim: int, out: int, kernel: int = 1, stride: int = 1, groups: int = 1) -> None:
        super().__init__()
        self.c = nn.Conv2d(dim, out, kernel, stride, kernel // 2, groups=groups, bias=False)
        self.bn = nn.BatchNorm2d(out)

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            normed: Tensor = self.bn(self.c(x))
            return normed
        weight, bias = self.folded()
        return F.conv2d(x, weight, bias, self.c.stride, self.c.padding, groups=self.c.groups)

    def folded(self) -> tuple[Tensor, Tensor]:
        """Weight and bias of the one convolution, in the weights' dtype."""
        mean, var = self.bn.running_mean, self.bn.running_var
        assert mean is not None and var is not None
        scale = self.bn.weight * torch.rsqrt(var + self.bn.eps)
        return self.c.weight * scale[:, None, None, None], self.bn.bias - mean * scale


class PatchEmbed(nn.Module):
    """(B, 3, S, S) -> (B, C, S/4, S/4)."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.seq = nn.Sequential(ConvNorm(3, dim // 2, 3, 2), nn.GELU(), ConvNorm(dim // 2, dim, 3, 2))

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.seq(x)
        return out


class MBConv(nn.Module):
    """Expand, depth-wise 3x3, project; the residual is added before the last activation."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        hidden = EXPANSION * dim
        self.conv1 = ConvNorm(dim, hidden)
        self.conv2 = ConvNorm(hidden, hidden, 3, groups=hidden)
        self.conv3 = ConvNorm(hidden, dim)

    def forward(self, x: Tensor) -> Tensor:
        hidden = F.gelu(self.conv2(F.gelu(self.conv1(x))))
        return F.gelu(x + self.conv3(hidden))


class PatchMerging(nn.Module):
    """To the next stage's width, at `stride`: (B, C, h, w) -> (B, C', h/stride, w/stride)."""

    def __init__(self, dim: int, out: int, stride: int) -> None:
        super().__init__()
        self.conv1 = ConvNorm(dim, out)
        self.conv2 = ConvNorm(out, out, 3, stride, groups=out)
        self.conv3 = ConvNorm(out, out)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.conv3(F.gelu(self.conv2(F.gelu(self.conv1(x)))))
        return out


class Attention(nn.Module):
    """Window attention with a learned bias per absolute offset. The norm is part of it, so it covers padding too."""

    def __init__(self, dim: int, heads: int, window: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm = nn.LayerNorm(dim)
        self.qkv = nn.Linear(dim, 3 * dim)
        self.proj = nn.Linear(dim, dim)
        self.attention_biases = nn.Parameter(torch.zeros(heads, window * window))
        self.window = window

    def forward(self, x: Tensor) -> Tensor:
        """(B, s, s, C) -> (B, s, s, C)."""
        b, h, w, c = x.shape
        qkv = self.qkv(self.norm(x)).view(b, h * w, self.heads, 3 * c // self.heads)
        q, k, v = qkv.transpose(1, 2).chunk(3, dim=3)  # each (B, heads, h*w, d): heads outside q, k, v here
        bias = self.attention_biases[:, offset_indexes(h, x.device, self.window)]  # (heads, h*w, h*w)
        scores = torch.matmul(q * q.shape[-1] ** -0.5, k.transpose(2, 3)) + bias
        out = torch.matmul(scores.softmax(-1), v).transpose(1, 2).reshape(b, h, w, c)
        projected: Tensor = self.proj(out)
        return projected


@lru_cache
@torch.inference_mode(False)  # training may use the cached tensor too
def offset_indexes(side: int, device: torch.device, window: int | None = None) -> Tensor:
    """Index of the offset |dy|, |dx| between every two cells of a square, (side², side²).

    Published weights number offsets in the order of a scan over cell pairs, which is |dy|*window + |dx|. A square
    smaller than the window, as in training at low resolution, uses the window's numbers.
    """
    at = torch.arange(side, device=device)
    y, x = torch.meshgrid(at, at, indexing="ij")
    y, x = y.flatten(), x.flatten()
    return (y[:, None] - y).abs() * (window or side) + (x[:, None] - x).abs()


class Mlp(nn.Module):
    """Norm, expand, GELU, project."""

    def __init__(self, dim: int, hidden: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(dim)
        self.fc1 = nn.Linear(dim, hidden)
        self.fc2 = nn.Linear(hidden, dim)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.fc2(F.gelu(self.fc1(self.norm(x))))
        return out


class TinyVitBlock(nn.Module):
    """Window attention, a depth-wise convolution without residual, an MLP. (B, C, h, w) -> the same."""

    def __init__(self, stage: Stage, mlp_ratio: float) -> None:
        super().__init__()
        self.window = stage.window_size
        self.attn = Attention(stage.dim, stage.num_heads, stage.window_size)
        self.local_conv = ConvNorm(stage.dim, stage.dim, 3, groups=stage.dim)
        self.mlp = Mlp(stage.dim, int(stage.dim * mlp_ratio))

    def forward(self, x: Tensor) -> Tensor:
        x = x.permute(0, 2, 3, 1)
        h, w = x.shape[1:3]
        x = x + from_windows(self.attn(to_windows(x, self.window)), self.window, h, w)
        x = self.local_conv(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
        x = x + self.mlp(x)
        return x.permute(0, 3, 1, 2)


class Layer(nn.Module):
    """The blocks of one stage, and the merge into the next if there is one."""

    def __init__(self, stage: Stage, after: Stage | None, mlp_ratio: float) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(
            TinyVitBlock(stage, mlp_ratio) if stage.num_heads else MBConv(stage.dim) for _ in range(stage.depth)
        )
        self.downsample = PatchMerging(stage.dim, after.dim, after.stride) if after else None

    def forward(self, x: Tensor) -> Tensor:
        for block in self.blocks:
            x = block(x)
        return self.downsample(x) if self.downsample is not None else x


class TinyVit(nn.Module):
    """(B, 3, S, S) normalised pixels -> (B, out_chans, S/p, S/p); p is the product of the stages' strides."""

    def __init__(self, row: Size) -> None:
        super().__init__()
        self.patch_embed = PatchEmbed(row.stages[0].dim)
        following = [*row.stages[1:], None]
        self.layers = nn.ModuleList(
            Layer(stage, after, row.mlp_ratio) for stage, after in zip(row.stages, following, strict=True)
        )
        self.neck = neck(row.stages[-1].dim, row.out_chans)

    def forward(self, pixels: Tensor) -> Tensor:
        x = self.patch_embed(pixels.contiguous(memory_format=torch.channels_last))
        for layer in self.layers:
            x = layer(x)
        out: Tensor = self.neck(x)
        return out
