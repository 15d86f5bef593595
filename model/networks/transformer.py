"""The mask decoder's two-way transformer: a few tokens and the image's cells attend to each other.

Source: SAM paper, appendix A ("lightweight mask decoder"). Two rearrangements give the same values up to rounding.
Prompts of one image share their common work. Projections between image and attention width apply to the tokens, which
are few, instead of to the cells, which are many.

Shapes: G images, n prompts each, T tokens a prompt, L = h*w cells, C the width, H heads. A cell tensor is
(G, m, L, C) with m = 1 while the prompts of an image still share it, m = n afterwards.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from model.networks.layers import Mlp
from model.sizes import Size


@dataclass(frozen=True)
class Shared:
    """What all prompts of an image share while no block has changed its cells."""

    keys: Tensor  # (G, H, L, d) for tokens that look at cells
    values: Tensor  # (G, H, L, d)
    queries: Tensor  # (G, H, d, L) of cells that look at tokens, scaled


class Attention(nn.Module):
    """Multi-head attention in the shapes of the decoder. Its inner width may be less than C."""

    def __init__(self, dim: int, heads: int, inner: int) -> None:
        super().__init__()
        self.heads = heads
        self.scale = (inner // heads) ** -0.5
        self.q_proj = nn.Linear(dim, inner)
        self.k_proj = nn.Linear(dim, inner)
        self.v_proj = nn.Linear(dim, inner)
        self.out_proj = nn.Linear(inner, dim)

    def forward(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """q (..., A, C), k and v (..., B, C) -> (..., A, C), as the paper writes it."""
        q, k, v = self.split(self.q_proj(q)), self.split(self.k_proj(k)), self.split(self.v_proj(v))
        return self._merge(F.scaled_dot_product_attention(q, k, v))

    def from_tokens(self, q: Tensor, cells: Tensor, cells_pe: Tensor) -> Tensor:
        """Tokens (G, n, T, C) look at the cells: keys `cells_pe`, values `cells` (G, n, L, C) -> (G, n, T, C)."""
        if not self.folds(q.shape[2]):
            return self.forward(q, cells_pe, cells)
        # k_proj moves to the queries. Its bias shifts all scores of a query alike, which softmax ignores.
        queries = self.split(self.q_proj(q)) * self.scale  # (G, n, H, T, d)
        folded = torch.matmul(queries, self._heads_weight(self.k_proj)).flatten(2, 3)  # (G, n, H*T, C)
        weights = torch.matmul(folded, cells_pe.mT).softmax(-1)
        seen = torch.unflatten(torch.matmul(weights, cells), 2, (self.heads, -1))  # (G, n, H, T, C)
        # v_proj comes after the average. Rows of `weights` sum to one, so its bias is added once.
        values = torch.matmul(seen, self._heads_weight(self.v_proj).mT)
        return self._merge(values + self.v_proj.bias.view(self.heads, 1, -1))

    def from_tokens_shared(self, q: Tensor, shared: Shared) -> Tensor:
        """The same while prompts share the cells: all tokens are queries of one attention."""
        queries = self.split(self.q_proj(q.flatten(1, 2)))  # (G, H, n*T, d)
        return self._merge(F.scaled_dot_product_attention(queries, shared.keys, shared.values)).view_as(q)

    def weights_of_cells(self, cells_pe: Tensor, k: Tensor) -> Tensor:
        """Attention weights of cells (G, n, L, C) over tokens k (G, n, T, C): (G, n, H, T, L)."""
        keys = self.split(self.k_proj(k)) * self.scale  # (G, n, H, T, d)
        if self.folds(k.shape[2]):
            folded = torch.matmul(keys, self._heads_weight(self.q_proj)).flatten(0, 1).flatten(1, 2)
            offset = (keys * self.q_proj.bias.view(self.heads, 1, -1)).sum(-1).flatten(0, 1).view(len(folded), -1, 1)
            scores = torch.baddbmm(offset, folded, cells_pe.flatten(0, 1).mT).view(*keys.shape[:-1], -1)
        else:
            scores = torch.matmul(keys, self.split(self.q_proj(cells_pe)).mT)
        return scores.softmax(-2)

    def weights_of_cells_shared(self, shared: Shared, k: Tensor) -> Tensor:
        """The same while prompts share the cells."""
        keys = self.split(self.k_proj(k.flatten(1, 2)))  # (G, H, n*T, d)
        scores = torch.unflatten(torch.matmul(keys, shared.queries), 2, k.shape[1:3])  # (G, H, n, T, L)
        return scores.softmax(-2).transpose(1, 2)

    def add_to_cells(self, cells: Tensor, weights: Tensor, v: Tensor, overwrite: bool = False) -> Tensor:
        """Add attention over the tokens v (G, n, T, C) to cells (G, 1 or n, L, C): (G, n, L, C).

        With `overwrite` the result may be written into the cells, of which there are then n.
        """
        values = self.split(self.v_proj(v))  # (G, n, H, T, d)
        if not self.folds(v.shape[2]):
            return cells + self._merge(torch.matmul(weights.mT, values))
        # out_proj moves to the tokens. The weights of each head sum to one, so each adds 1/H of the bias.
        out = torch.matmul(values, self._heads_weight(self.out_proj)) + self.out_proj.bias / self.heads
        start = cells.expand(*v.shape[:2], -1, -1).flatten(0, 1)
        flat = weights.flatten(2, 3).flatten(0, 1).mT  # (G*n, L, H*T)
        added = torch.baddbmm(start, flat, out.flatten(2, 3).flatten(0, 1), out=start if overwrite else None)
        return torch.unflatten(added, 0, v.shape[:2])

    def folds(self, tokens: int) -> bool:
        """Whether H*T columns are fewer than the inner width."""
        return self.heads * tokens < self.q_proj.out_features

    def _heads_weight(self, projection: nn.Linear) -> Tensor:
        """The projection's weight a head at a time, (H, d, C)."""
        weight = projection.weight if projection is not self.out_proj else projection.weight.mT
        return torch.unflatten(weight, 0, (self.heads, -1))

    def split(self, x: Tensor) -> Tensor:
        """(..., A, inner width) -> (..., H, A, d)."""
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

    def share(self, cells: Tensor, pe: Tensor) -> Shared:
        """cells (G, 1, L, C) that no prompt has changed yet, pe (L, C)."""
        to_image, to_token = self.cross_attn_token_to_image, self.cross_attn_image_to_token
        cells, cells_pe = cells[:, 0], cells[:, 0] + pe
        return Shared(
            to_image.split(to_image.k_proj(cells_pe)).contiguous(),
            to_image.split(to_image.v_proj(cells)).contiguous(),
            (to_token.split(to_token.q_proj(cells_pe)) * to_token.scale).mT.contiguous(),
        )

    def forward(
        self, tokens: Tensor, cells: Tensor, prompt: Tensor, pe: Tensor, shared: Shared | None = None
    ) -> tuple[Tensor, Tensor]:
        """tokens and prompt (G, n, T, C), cells (G, 1 or n, L, C), pe (L, C) -> tokens, cells (G, n, L, C)."""
        if self.first:  # the tokens still are the prompt, so neither residual nor position is added
            tokens = self.norm1(self.self_attn(tokens, tokens, tokens))
        else:
            query = tokens + prompt
            tokens = self.norm1(tokens + self.self_attn(query, query, tokens))
        if shared is None and cells.shape[1] != tokens.shape[1]:
            shared = self.share(cells, pe)
        to_image, to_token = self.cross_attn_token_to_image, self.cross_attn_image_to_token
        cells_pe = cells + pe if shared is None else cells
        query = tokens + prompt
        seen = to_image.from_tokens_shared(query, shared) if shared else to_image.from_tokens(query, cells, cells_pe)
        tokens = self.norm2(tokens + seen)
        tokens = self.norm3(tokens + self.mlp(tokens))
        key = tokens + prompt
        weights = to_token.weights_of_cells_shared(shared, key) if shared else to_token.weights_of_cells(cells_pe, key)
        own = (
            not self.first and not torch.is_grad_enabled()
        )  # the block before made these cells for these prompts alone
        return tokens, self.norm4(to_token.add_to_cells(cells, weights, tokens, overwrite=own))


class TwoWayTransformer(nn.Module):
    """`decoder_depth` blocks, then a last look of the tokens at the cells."""

    def __init__(self, row: Size) -> None:
        super().__init__()
        dim = row.out_chans
        self.layers = nn.ModuleList(TwoWayBlock(row, first=i == 0) for i in range(row.decoder_depth))
        self.final_attn_token_to_image = Attention(dim, row.decoder_heads, dim // 2)
        self.norm_final_attn = nn.LayerNorm(dim)

    def share(self, cells: Tensor, pe: Tensor) -> Shared:
        """The shared work of the first block, for several calls of `forward` on the same images."""
        first = self.layers[0]
        assert isinstance(first, TwoWayBlock)
        return first.share(cells, pe)

    def forward(
        self, prompt: Tensor, cells: Tensor, pe: Tensor, wanted: list[int], shared: Shared | None = None
    ) -> tuple[Tensor, Tensor]:
        """prompt (G, n, T, C), cells (G, 1, L, C), pe (L, C) -> `wanted` tokens (G, n, ., C), cells."""
        tokens = prompt
        for i, layer in enumerate(self.layers):
            tokens, cells = layer(tokens, cells, prompt, pe, shared if i == 0 else None)
        return self.last_look(tokens[:, :, wanted], prompt[:, :, wanted], cells, pe), cells

    def last_look(self, tokens: Tensor, prompt: Tensor, cells: Tensor, pe: Tensor) -> Tensor:
        """The final attention of any subset of the tokens, which no longer attend to each other."""
        attn = self.final_attn_token_to_image.from_tokens(tokens + prompt, cells, cells + pe)
        out: Tensor = self.norm_final_attn(tokens + attn)
        return out
