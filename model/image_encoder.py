"""SAM's image encoder: a plain ViT with windowed and a few global blocks and decomposed relative positions.

Source: SAM paper, appendix A; ViTDet (arXiv 2203.16527). State-dict names are the published ones.
Knows nothing of prompts, pixels' statistics or padding to a square.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from model.layers import Mlp, neck
from model.sizes import Size

SCORES_BYTES = 32 << 20  # attention scores held at a time on a CPU: more falls out of the caches


class Attention(nn.Module):
    """Multi-head self-attention on a grid, with relative positions added from the unscaled queries."""

    def __init__(self, dim: int, heads: int, grid: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(dim, 3 * dim)
        self.proj = nn.Linear(dim, dim)
        self.rel_pos_h = nn.Parameter(torch.zeros(2 * grid - 1, dim // heads))
        self.rel_pos_w = nn.Parameter(torch.zeros(2 * grid - 1, dim // heads))

    def forward(self, x: Tensor) -> Tensor:
        """(B, s, s, C) -> (B, s, s, C); B counts windows, or images in a global block."""
        b, h, w, c = x.shape
        qkv = self.qkv(x).view(b, h * w, 3, self.heads, c // self.heads).permute(2, 0, 3, 1, 4)
        q, k, v = qkv.unbind(0)  # each (B, heads, h*w, d)
        rel_h, rel_w = self._relative(q.unflatten(2, (h, w)))
        out = attend(q, k, v, rel_h, rel_w)
        out = out.transpose(1, 2).reshape(b, h, w, c)
        projected: Tensor = self.proj(out)
        return projected

    def _relative(self, q: Tensor) -> tuple[Tensor, Tensor]:
        """q (B, heads, h, w, d) -> its products with the row and column offsets, (B, heads, h, w, h | w)."""
        h, w = q.shape[2:4]
        rows = gather_relative(self.rel_pos_h, h)  # (h, h, d)
        columns = gather_relative(self.rel_pos_w, w)  # (w, w, d)
        return torch.matmul(q, rows.mT), torch.einsum("bnhwd,wkd->bnhwk", q, columns)


def gather_relative(table: Tensor, side: int) -> Tensor:
    """Rows of a (2*side-1, d) table for every pair (query, key) of one axis: (side, side, d)."""
    at = torch.arange(side, device=table.device)
    return table[at[:, None] - at[None, :] + side - 1]


def attend(q: Tensor, k: Tensor, v: Tensor, rel_h: Tensor, rel_w: Tensor) -> Tensor:
    """softmax(q k^T / sqrt(d) + rel_h + rel_w) v, a slice of query rows at a time.

    q, k, v (B, heads, h*w, d); rel_h (B, heads, h, w, h), rel_w (B, heads, h, w, w).
    """
    b, n, length, d = q.shape
    h, w = rel_h.shape[2:4]
    q = (q * d**-0.5).unflatten(2, (h, w))
    step = max(1, min(h, SCORES_BYTES // (b * n * w * length * 4)))
    out = [
        _attend_rows(q[:, :, r : r + step], k, v, rel_h[:, :, r : r + step], rel_w[:, :, r : r + step])
        for r in range(0, h, step)
    ]
    return torch.cat(out, 2) if len(out) > 1 else out[0]


def _attend_rows(q: Tensor, k: Tensor, v: Tensor, rel_h: Tensor, rel_w: Tensor) -> Tensor:
    b, n, r, w, _ = q.shape
    bias = rel_h[..., :, None] + rel_w[..., None, :]  # (B, heads, r, w, h, w)
    bias = bias.view(b * n, r * w, -1)
    scores = torch.baddbmm(bias, q.flatten(2, 3).flatten(0, 1), k.flatten(0, 1).mT)
    return torch.bmm(scores.softmax(-1), v.flatten(0, 1)).view(b, n, r * w, -1)


class Block(nn.Module):
    """Pre-norm attention and MLP. `window` 0 attends over the whole grid."""

    def __init__(self, row: Size, window: int) -> None:
        super().__init__()
        self.window = window
        self.norm1 = nn.LayerNorm(row.embed_dim, eps=1e-6)
        self.attn = Attention(row.embed_dim, row.num_heads, window or row.grid)
        self.norm2 = nn.LayerNorm(row.embed_dim, eps=1e-6)
        self.mlp = Mlp(row.embed_dim, int(row.embed_dim * row.mlp_ratio), F.gelu)

    def forward(self, x: Tensor) -> Tensor:
        """(B, h, w, C) -> the same."""
        normed = self.norm1(x)
        x = x + (windowed(self.attn, normed, self.window) if self.window else self.attn(normed))
        out: Tensor = x + self.mlp(self.norm2(x))
        return out


def windowed(attention: nn.Module, x: Tensor, window: int) -> Tensor:
    """Attention inside windows of (B, h, w, C), zero-padded right and below to whole windows.

    The padding comes after norm1 and is attended to like any other cell: published weights expect it.
    """
    b, h, w, c = x.shape
    down, right = -h % window, -w % window
    x = F.pad(x, (0, 0, 0, right, 0, down)) if down or right else x
    rows, columns = x.shape[1] // window, x.shape[2] // window
    # (B, rows, win, columns, win, C) -> (B*rows*columns, win, win, C)
    x = x.view(b, rows, window, columns, window, c).transpose(2, 3).reshape(-1, window, window, c)
    x = attention(x).view(b, rows, columns, window, window, c).transpose(2, 3)
    return x.reshape(b, rows * window, columns * window, c)[:, :h, :w]


class PatchEmbed(nn.Module):
    """Non-overlapping patches, linearly projected: (B, 3, S, S) -> (B, S/p, S/p, C)."""

    def __init__(self, dim: int, patch: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(3, dim, patch, stride=patch)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.proj(x).permute(0, 2, 3, 1)
        return out


class ImageEncoder(nn.Module):
    """(B, 3, S, S) normalised pixels -> (B, out_chans, S/p, S/p)."""

    def __init__(self, row: Size) -> None:
        super().__init__()
        self.patch_embed = PatchEmbed(row.embed_dim, row.patch_size)
        self.pos_embed = nn.Parameter(torch.zeros(1, row.grid, row.grid, row.embed_dim))
        windows = (0 if i in row.global_attn_indexes else row.window_size for i in range(row.depth))
        self.blocks = nn.ModuleList(Block(row, window) for window in windows)
        self.neck = neck(row.embed_dim, row.out_chans)

    def forward(self, pixels: Tensor) -> Tensor:
        x = self.patch_embed(pixels) + self.pos_embed
        for block in self.blocks:
            x = block(x)
        out: Tensor = self.neck(x.permute(0, 3, 1, 2))
        return out
