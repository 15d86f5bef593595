"""From an image embedding and prompt tokens to mask logits and predicted IoU, in two halves.

Source: SAM paper, appendix A; names as published. The first half gives everything but pixels, the predicted
IoU too, so that a caller may drop masks before the second half, the up-convolutions, which cost as much.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from model.layers import DeepMlp, LayerNorm2d
from model.sizes import Size
from model.transformer import TwoWayTransformer

MASK_TOKENS = 4  # token 0 is the single-mask answer, 1..3 are whole, part, subpart


@dataclass(frozen=True)
class Decoded:
    """Masks as yet without pixels: N prompts, M masks each (1 or 3)."""

    hyper: Tensor  # (N, M, C/8): the dot product with the upscaled cells gives the logits
    source: Tensor  # (N, h*w, C): the cells after the transformer
    iou: Tensor  # (N, M) float32: predicted IoU


class MaskDecoder(nn.Module):
    """Mask and IoU tokens, the two-way transformer, hypernetworks, up-convolutions."""

    def __init__(self, row: Size) -> None:
        super().__init__()
        dim = row.out_chans
        self.grid = row.grid
        self.transformer = TwoWayTransformer(row)
        self.iou_token = nn.Embedding(1, dim)
        self.mask_tokens = nn.Embedding(MASK_TOKENS, dim)
        self.output_upscaling = nn.Sequential(
            nn.ConvTranspose2d(dim, dim // 4, 2, stride=2),
            LayerNorm2d(dim // 4),
            nn.GELU(),
            nn.ConvTranspose2d(dim // 4, dim // 8, 2, stride=2),
            nn.GELU(),
        )
        self.output_hypernetworks_mlps = nn.ModuleList(DeepMlp(dim, dim, dim // 8, 3) for _ in range(MASK_TOKENS))
        self.iou_prediction_head = DeepMlp(dim, row.iou_head_hidden_dim, MASK_TOKENS, row.iou_head_depth)

    def prompt(self, sparse: Tensor) -> Tensor:
        """IoU token, four mask tokens, then the prompt's own: (..., T, C) -> (..., 5 + T, C), the weights' dtype."""
        own = torch.cat([self.iou_token.weight, self.mask_tokens.weight])
        return torch.cat([own.expand(*sparse.shape[:-2], -1, -1), sparse.to(own.dtype)], -2)

    def decode(self, sparse: Tensor, cells: Tensor, pe: Tensor, multimask: bool) -> Decoded:
        """sparse (G, n, T, C), cells (G, 1, L, C) with the dense prompt added, pe (L, C) -> G*n prompts, in order."""
        prompt = self.prompt(sparse)
        asked = [1, 2, 3] if multimask else [0]
        tokens, cells = self.transformer(prompt, cells, pe, [0, *(1 + i for i in asked)])
        return self.read_out(tokens, cells.expand(*tokens.shape[:2], -1, -1), asked)

    def read_out(self, tokens: Tensor, cells: Tensor, asked: list[int]) -> Decoded:
        """tokens (G, n, 1 + len(asked), C), the IoU token first; cells (G, n, L, C)."""
        hyper = [self.output_hypernetworks_mlps[i](tokens[:, :, 1 + at]) for at, i in enumerate(asked)]
        iou = self.iou_prediction_head(tokens[:, :, 0])[..., asked]
        return Decoded(torch.stack(hyper, 2).flatten(0, 1), cells.flatten(0, 1), iou.flatten(0, 1).float())

    def upscale(self, source: Tensor) -> Tensor:
        """(N, h*w, C) -> features of the low-resolution pixels, (N, h*w, 2, 2, 2, 2, C/8).

        A transposed convolution whose kernel is its stride is one matrix product per cell. The axes after the
        cell are y, x of the first step, then y, x of the second; `to_image` puts them in place later, once
        few channels are left.
        """
        first, norm, _, second, _ = self.output_upscaling
        assert isinstance(norm, LayerNorm2d)
        x = _per_cell(first, source)
        x = F.gelu(F.layer_norm(x, norm.weight.shape, norm.weight, norm.bias, norm.eps))
        return F.gelu(_per_cell(second, x))

    def logits(self, decoded: Decoded, prompts: Tensor | None = None, masks: Tensor | None = None) -> Tensor:
        """Low-resolution logits, float32: (N, M, 4h, 4w); or (K, 4h, 4w) of K chosen (prompt, mask) pairs only."""
        if prompts is None or masks is None:
            pixels = self.upscale(decoded.source).flatten(1, 5)  # (N, L*16, C/8)
            return self.to_image(torch.matmul(decoded.hyper, pixels.mT))
        kept, at = torch.unique(prompts, return_inverse=True)
        pixels = self.upscale(decoded.source[kept]).flatten(1, 5)
        hyper = decoded.hyper[prompts, masks]  # (K, C/8)
        return self.to_image(torch.stack([pixels[i] @ h for i, h in zip(at.tolist(), hyper, strict=True)]))

    def to_image(self, x: Tensor) -> Tensor:
        """(..., h*w*16) in the order of `upscale` -> (..., 4h, 4w) float32."""
        g = self.grid
        x = torch.unflatten(x.float(), -1, (g, g, 2, 2, 2, 2))  # h, w, y1, x1, y2, x2
        order = [-6, -4, -2, -5, -3, -1]
        lead = list(range(x.ndim - 6))
        return x.permute(*lead, *(x.ndim + i for i in order)).reshape(*x.shape[: x.ndim - 6], 4 * g, 4 * g)


def _per_cell(up: nn.Module, x: Tensor) -> Tensor:
    """The 2x2, stride 2 transposed convolution on channels-last cells: (..., C) -> (..., 2, 2, C')."""
    assert isinstance(up, nn.ConvTranspose2d) and up.bias is not None
    x = F.linear(x, up.weight.permute(2, 3, 1, 0).flatten(0, 2), up.bias.repeat(4))
    return torch.unflatten(x, -1, (2, 2, -1))
