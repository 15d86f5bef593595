"""The mask decoder's two-way transformer: a few tokens and the image's cells attend to each other.

Source: SAM paper, appendix A ("lightweight mask decoder"). What is rearranged here gives the same values up
to rounding: what prompts of one image share is computed once, and projections between image and
attention width are folded into the tokens, which are few, instead of being applied to the cells, which
are many.

Shapes: G images, n prompts each, T tokens a prompt, L = h*w cells, C the width, H heads. A cell tensor is
(G, m, L, C) with m = 1 while the prompts of an image still share it, m = n afterwards.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from model.layers import Mlp
from model.sizes import Size


class Attention(nn.Module):
    """Multi-head attention whose inner width may be less than C, in the three shapes the decoder needs."""

    def __init__(self, dim: int, heads: int, inner: int) -> None:
        super().__init__()
        self.heads = heads
        self.scale = (inner // heads) ** -0.5
        self.q_proj = nn.Linear(dim, inner)
        self.k_proj = nn.Linear(dim, inner)
        self.v_proj = nn.Linear(dim, inner)
        self.out_proj = nn.Linear(inner, dim)

    def forward(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """q (..., A, C), k and v (..., B, C) -> (..., A, C), as it is written in the paper."""
        q, k, v = self._split(self.q_proj(q)), self._split(self.k_proj(k)), self._split(self.v_proj(v))
        scores = torch.matmul(q * self.scale, k.mT)
        return self._merge(torch.matmul(scores.softmax(-1), v))

    def from_tokens(self, q: Tensor, cells: Tensor, cells_pe: Tensor) -> Tensor:
        """Tokens (G, n, T, C) look at the cells: keys `cells_pe`, values `cells` (G, m, L, C) -> (G, n, T, C)."""
        if cells.shape[1] != q.shape[1]:  # shared: every token of the image is one more query of one attention
            return self.forward(q.flatten(1, 2), cells_pe[:, 0], cells[:, 0]).view_as(q)
        if not self._folds(q.shape[2]):
            return self.forward(q, cells_pe, cells)
        # k_proj moves to the queries; its bias adds the same to a query's every score: softmax drops it.
        queries = self._split(self.q_proj(q)) * self.scale  # (G, n, H, T, d)
        folded = torch.matmul(queries, self._heads_weight(self.k_proj)).flatten(2, 3)  # (G, n, H*T, C)
        weights = torch.matmul(folded, cells_pe.mT).softmax(-1)
        seen = torch.unflatten(torch.matmul(weights, cells), 2, (self.heads, -1))  # (G, n, H, T, C)
        # v_proj comes after the average; rows of `weights` sum to one, so its bias is added as it is.
        values = torch.matmul(seen, self._heads_weight(self.v_proj).mT)
        return self._merge(values + self.v_proj.bias.view(self.heads, 1, -1))

    def from_cells(self, cells_pe: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Cells (G, m, L, C) look at the tokens k, v (G, n, T, C) -> (G, n, L, C)."""
        folds = self._folds(k.shape[2])
        keys, values = self._split(self.k_proj(k)), self._split(self.v_proj(v))  # (G, n, H, T, d)
        if folds and cells_pe.shape[1] == k.shape[1]:
            folded = torch.matmul(keys, self._heads_weight(self.q_proj)) * self.scale  # (G, n, H, T, C)
            offset = (keys * self.q_proj.bias.view(self.heads, 1, -1)).sum(-1) * self.scale  # (G, n, H, T)
            scores = torch.unflatten(torch.matmul(folded.flatten(2, 3), cells_pe.mT), 2, (self.heads, -1))
            weights = (scores + offset.unsqueeze(-1)).softmax(-2)  # (G, n, H, T, L)
        else:
            queries = self._split(self.q_proj(cells_pe)) * self.scale  # (G, m, H, L, d)
            weights = torch.matmul(keys, queries.mT).softmax(-2)
        if not folds:
            return self._merge(torch.matmul(weights.mT, values))
        out = torch.matmul(values, self._heads_weight(self.out_proj)).flatten(2, 3)  # (G, n, H*T, C)
        return torch.matmul(weights.flatten(2, 3).mT, out) + self.out_proj.bias

    def _folds(self, tokens: int) -> bool:
        """Whether H*T columns are fewer than the inner width."""
        return self.heads * tokens < self.q_proj.out_features

    def _heads_weight(self, projection: nn.Linear) -> Tensor:
        """The projection's weight a head at a time, (H, d, C)."""
        weight = projection.weight if projection is not self.out_proj else projection.weight.mT
        return torch.unflatten(weight, 0, (self.heads, -1))

    def _split(self, x: Tensor) -> Tensor:
        return torch.unflatten(x, -1, (self.heads, -1)).transpose(-3, -2)

    def _merge(self, x: Tensor) -> Tensor:
        out: Tensor = self.out_proj(x.transpose(-3, -2).flatten(-2))
        return out


class TwoWayBlock(nn.Module):
    """Tokens among themselves, tokens to cells, MLP on the tokens, cells to tokens."""

    def __init__(self, row: Size, first: bool) -> None:
        super().__init__()
        dim, heads = row.out_chans, row.decoder_heads
        self.first = first
        self.self_attn = Attention(dim, heads, dim)
        self.norm1 = nn.LayerNorm(dim)
        self.cross_attn_token_to_image = Attention(dim, heads, dim // 2)
        self.norm2 = nn.LayerNorm(dim)
        self.mlp = Mlp(dim, row.decoder_mlp_dim, F.relu)
        self.norm3 = nn.LayerNorm(dim)
        self.norm4 = nn.LayerNorm(dim)
        self.cross_attn_image_to_token = Attention(dim, heads, dim // 2)

    def forward(self, tokens: Tensor, cells: Tensor, prompt: Tensor, pe: Tensor) -> tuple[Tensor, Tensor]:
        """tokens and prompt (G, n, T, C), cells (G, m, L, C), pe (L, C) -> tokens, cells (G, n, L, C)."""
        if self.first:  # the tokens still are the prompt: neither residual nor position is added
            tokens = self.norm1(self.self_attn(tokens, tokens, tokens))
        else:
            query = tokens + prompt
            tokens = self.norm1(tokens + self.self_attn(query, query, tokens))
        cells_pe = cells + pe
        tokens = self.norm2(tokens + self.cross_attn_token_to_image.from_tokens(tokens + prompt, cells, cells_pe))
        tokens = self.norm3(tokens + self.mlp(tokens))
        cells = cells + self.cross_attn_image_to_token.from_cells(cells_pe, tokens + prompt, tokens)
        return tokens, self.norm4(cells)


class TwoWayTransformer(nn.Module):
    """`decoder_depth` blocks, then a last look of the tokens at the cells."""

    def __init__(self, row: Size) -> None:
        super().__init__()
        dim = row.out_chans
        self.layers = nn.ModuleList(TwoWayBlock(row, first=i == 0) for i in range(row.decoder_depth))
        self.final_attn_token_to_image = Attention(dim, row.decoder_heads, dim // 2)
        self.norm_final_attn = nn.LayerNorm(dim)

    def forward(self, prompt: Tensor, cells: Tensor, pe: Tensor, wanted: list[int]) -> tuple[Tensor, Tensor]:
        """prompt (G, n, T, C), cells (G, 1, L, C), pe (L, C) -> `wanted` tokens (G, n, ., C), cells."""
        tokens = prompt
        for layer in self.layers:
            tokens, cells = layer(tokens, cells, prompt, pe)
        return self.last_look(tokens[:, :, wanted], prompt[:, :, wanted], cells, pe), cells

    def last_look(self, tokens: Tensor, prompt: Tensor, cells: Tensor, pe: Tensor) -> Tensor:
        """The final attention, of any subset of the tokens (they no longer see each other)."""
        attn = self.final_attn_token_to_image.from_tokens(tokens + prompt, cells, cells + pe)
        out: Tensor = self.norm_final_attn(tokens + attn)
        return out
