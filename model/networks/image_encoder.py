"""SAM's image encoder: a plain ViT with windowed and a few global blocks and decomposed relative positions.

Source: SAM paper, appendix A; ViTDet (arXiv 2203.16527). State-dict names are the published ones.
"""

from __future__ import annotations

from itertools import product

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from model.networks.layers import Mlp, gelu, neck
from model.sizes import Size

SLICE_BYTES = 4 << 20  # of positions that a thread adds up at a time, so that they stay in the caches


class Attention(nn.Module):
    """Multi-head self-attention on a grid. Relative positions come from the unscaled queries."""

    def __init__(self, row: Size, window: int) -> None:
        super().__init__()
        dim, side = row.embed_dim, window or row.grid
        self.heads, self.window = row.num_heads, window
        self.qkv = nn.Linear(dim, 3 * dim)
        self.proj = nn.Linear(dim, dim)
        self.rel_pos_h = nn.Parameter(torch.zeros(2 * side - 1, dim // self.heads))
        self.rel_pos_w = nn.Parameter(torch.zeros(2 * side - 1, dim // self.heads))

    def forward(self, x: Tensor) -> Tensor:
        """(B, h, w, C) -> the same, inside windows or, with `window` 0, over the whole grid."""
        h, w = x.shape[1:3]
        qkv = self.qkv(x)
        if self.window:
            qkv = to_windows(qkv, self.window, self.qkv.bias)
        seen = self._attend(qkv)
        out: Tensor = self.proj(from_windows(seen, self.window, h, w) if self.window else seen)
        return out

    def _attend(self, qkv: Tensor) -> Tensor:
        """(B, s, s, 3*C) -> (B, s, s, C). B is the number of windows, or of images in a global block."""
        b, h, w, _ = qkv.shape
        q, k, v = qkv.view(b, h * w, 3, self.heads, -1).permute(2, 0, 3, 1, 4)  # each (B, heads, h*w, d), views
        q = q.contiguous()
        grid = torch.unflatten(q, 2, (h, w))
        rel_h = torch.matmul(grid, gather_relative(self.rel_pos_h, h).transpose(1, 2))  # (B, heads, h, w, h)
        rel_w = torch.matmul(grid.transpose(2, 3), gather_relative(self.rel_pos_w, w).transpose(1, 2)).transpose(2, 3)
        attend = attend_augmented if q.is_cuda else attend_sliced
        return attend(q, k, v, rel_h, rel_w).reshape(b, h, w, -1)


def gather_relative(table: Tensor, side: int) -> Tensor:
    """Rows of a (2*side-1, d) table for every pair (query, key) of one axis: (side, side, d)."""
    at = torch.arange(side, device=table.device)
    return table[at[:, None] - at[None, :] + side - 1]


def attend_sliced(q: Tensor, k: Tensor, v: Tensor, rel_h: Tensor, rel_w: Tensor) -> Tensor:
    """softmax(q k^T / sqrt(d) + rel_h + rel_w) v, with a few MB of positions in memory at a time.

    q, k, v (B, H, h*w, d) with B images or windows; rel_h (B, H, h, w, h), rel_w (B, H, h, w, w) -> (B, h*w, H, d).
    On a CPU the positions of a slice are still in the cache when they are read.
    """
    groups, heads, length = q.shape[:3]
    h, w = rel_h.shape[2:4]
    budget = SLICE_BYTES * torch.get_num_threads() // (length * q.element_size())  # rows of scores
    some, several = max(1, budget // (heads * length)), min(heads, max(1, budget // length))
    rows = min(h, max(1, budget // w))
    if several < heads:  # every slice of rows reads keys and values again
        k, v = k.contiguous(), v.contiguous()
    buffer = q.new_empty(some, several, rows, w, h, w)
    out = q.new_empty(groups, length, heads, q.shape[-1])
    for b, n, r in product(range(0, groups, some), range(0, heads, several), range(0, h, rows)):
        part, row = (slice(b, b + some), slice(n, n + several)), slice(r, min(h, r + rows))
        seen = _attend_slice(q, k[part], v[part], rel_h[part], rel_w[part], part, row, buffer)
        out[part[0], r * w : row.stop * w, part[1]] = seen.transpose(1, 2)
    return out


def _attend_slice(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    rel_h: Tensor,
    rel_w: Tensor,
    part: tuple[slice, slice],
    rows: slice,
    buffer: Tensor,
) -> Tensor:
    w = rel_h.shape[3]
    here = buffer[: k.shape[0], : k.shape[1], : rows.stop - rows.start]
    a, b = rel_h[:, :, rows, :, :, None], rel_w[:, :, rows, :, None, :]
    # Training keeps every slice. Inference reuses one.
    bias = torch.add(a, b, out=None if torch.is_grad_enabled() else here).flatten(4).flatten(2, 3)
    return F.scaled_dot_product_attention(q[part][:, :, rows.start * w : rows.stop * w], k, v, attn_mask=bias)


def attend_augmented(q: Tensor, k: Tensor, v: Tensor, rel_h: Tensor, rel_w: Tensor) -> Tensor:
    """The same as `attend_sliced`, by torch's fused kernel and without a bias tensor.

    [q / sqrt(d), rel_h, rel_w] · [k, one-hot row, one-hot column] are the scores with their positions.
    """
    d, h, w = q.shape[-1], *rel_h.shape[2:4]
    queries = torch.cat([q * d**-0.5, rel_h.flatten(2, 3), rel_w.flatten(2, 3)], -1)
    one = torch.eye(max(h, w), dtype=k.dtype, device=k.device)
    at = torch.cat([one[:h, :h].repeat_interleave(w, 0), one[:w, :w].repeat(h, 1)], 1)  # (h*w, h+w)
    keys = torch.cat([k, at.expand(*k.shape[:2], -1, -1)], -1)
    values = F.pad(v, (0, h + w))  # the kernel wants one width
    seen = F.scaled_dot_product_attention(queries, keys, values, scale=1.0)[..., :d]
    return seen.transpose(1, 2)


def to_windows(x: Tensor, window: int, padding: Tensor | None = None) -> Tensor:
    """(B, h, w, C) -> (B * rows * columns, window, window, C), padded right and below to whole windows.

    The padding is zeros, or `padding` (C,), the projection of zeros, so that only real cells need a projection.
    Attention includes the padding, as published weights expect.
    """
    b, h, w, c = x.shape
    down, right = -h % window, -w % window
    if down or right:
        whole = x.new_zeros(b, h + down, w + right, c) if padding is None else _filled(x, down, right, padding)
        whole[:, :h, :w] = x
        x = whole
    rows, columns = x.shape[1] // window, x.shape[2] // window
    return x.view(b, rows, window, columns, window, c).transpose(2, 3).reshape(-1, window, window, c)


def _filled(x: Tensor, down: int, right: int, padding: Tensor) -> Tensor:
    b, h, w, _ = x.shape
    return padding.to(x.dtype).expand(b, h + down, w + right, -1).contiguous()


def from_windows(x: Tensor, window: int, h: int, w: int) -> Tensor:
    """(B * rows * columns, window, window, C) -> (B, h, w, C), without the padding."""
    rows, columns = -(-h // window), -(-w // window)
    x = x.view(-1, rows, columns, window, window, x.shape[-1]).transpose(2, 3)
    return x.reshape(-1, rows * window, columns * window, x.shape[-1])[:, :h, :w]


class Block(nn.Module):
    """Pre-norm attention and MLP. `window` 0 attends over the whole grid."""

    def __init__(self, row: Size, window: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(row.embed_dim, eps=1e-6)
        self.attn = Attention(row, window)
        self.norm2 = nn.LayerNorm(row.embed_dim, eps=1e-6)
        self.mlp = Mlp(row.embed_dim, int(row.embed_dim * row.mlp_ratio), gelu)

    def forward(self, x: Tensor) -> Tensor:
        """(B, h, w, C) -> the same."""
        x = x + self.attn(self.norm1(x))
        out: Tensor = x + self.mlp(self.norm2(x))
        return out


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
