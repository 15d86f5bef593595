"""From an image embedding and prompt tokens to mask logits and predicted IoU, in two halves.

Source: SAM paper, appendix A; names as published. The first half gives the predicted IoU, so that a caller can drop
masks before the second half, the up-convolutions, which cost as much.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from model.networks.layers import DeepMlp, LayerNorm2d, gelu
from model.networks.transformer import Shared, TwoWayTransformer
from model.sizes import Size

CACHED_BYTES = 32 << 20  # of cells that a CPU works on at a time, so that results stay in the last-level cache
MASK_TOKENS = 4  # token 0 is the single-mask answer, 1..3 are whole, part, subpart


@dataclass(frozen=True)
class Decoded:
    """Masks without their pixels: N prompts, M masks each (1 or 3)."""

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
        groups, n = prompt.shape[:2]
        step = prompts_at_a_time(cells)
        if step >= groups * n:
            return self._decode_some(prompt, cells, pe, asked, None)
        parts = []
        source = cells.new_empty(groups * n, *cells.shape[2:])
        images = max(1, step // n)
        for g in range(0, groups, images):
            some = slice(g, g + images)
            shared = self.transformer.share(cells[some], pe) if n > 1 else None
            for i in range(0, n, step):
                part = self._decode_some(prompt[some, i : i + step], cells[some], pe, asked, shared)
                source[g * n + i :][: len(part.source)] = part.source
                parts.append(part)
        return Decoded(torch.cat([p.hyper for p in parts]), source, torch.cat([p.iou for p in parts]))

    def _decode_some(
        self, prompt: Tensor, cells: Tensor, pe: Tensor, asked: list[int], shared: Shared | None
    ) -> Decoded:
        tokens, cells = self.transformer(prompt, cells, pe, [0, *(1 + i for i in asked)], shared)
        return self.read_out(tokens, cells, asked)

    def nothing(self, cells: Tensor, multimask: bool) -> Decoded:
        """The result for no prompts."""
        masks, width = (3 if multimask else 1), cells.shape[-1]
        iou = torch.empty(0, masks, device=cells.device)
        return Decoded(cells.new_empty(0, masks, width // 8), cells.new_empty(0, cells.shape[-2], width), iou)

    def read_out(self, tokens: Tensor, cells: Tensor, asked: list[int]) -> Decoded:
        """tokens (G, n, 1 + len(asked), C), the IoU token first; cells (G, n, L, C)."""
        hyper = [self.output_hypernetworks_mlps[i](tokens[:, :, 1 + at]) for at, i in enumerate(asked)]
        iou = self.iou_prediction_head(tokens[:, :, 0])[..., asked]
        return Decoded(torch.stack(hyper, 2).flatten(0, 1), cells.flatten(0, 1), iou.flatten(0, 1).float())

    def upscale(self, source: Tensor) -> Tensor:
        """(N, h*w, C) -> features of the low-resolution pixels, (N, h*w, 2, 2, 2, 2, C/8).

        A transposed convolution whose kernel equals its stride is one matrix product per cell. The axes after the cell
        are y, x of the first step, then y, x of the second. `to_image` moves them later, when few channels are left.
        """
        first, norm, _, second, _ = self.output_upscaling
        assert isinstance(norm, LayerNorm2d)
        x = _per_cell(first, source)
        x = gelu(F.layer_norm(x, norm.weight.shape, norm.weight, norm.bias, norm.eps))
        return gelu(_per_cell(second, x))

    def logits(self, decoded: Decoded, prompts: Tensor | None = None, masks: Tensor | None = None) -> Tensor:
        """Low-resolution logits, float32: (N, M, 4h, 4w); or (K, 4h, 4w) of K chosen (prompt, mask) pairs only.

        Indices are on the host, so that nothing waits for a device.
        """
        if prompts is None or masks is None:
            return self._some_logits(decoded, torch.arange(len(decoded.iou), device="cpu"), None)
        return self._some_logits(decoded, prompts, masks)

    def _some_logits(self, decoded: Decoded, prompts: Tensor, masks: Tensor | None) -> Tensor:
        """The cells of each prompt are upscaled once, a few prompts at a time."""
        kept, at = torch.unique(prompts, return_inverse=True)
        side = 4 * self.grid
        out = decoded.iou.new_empty(len(prompts), *([decoded.hyper.shape[1]] if masks is None else []), side, side)
        step = prompts_at_a_time(decoded.source)
        for start in range(0, len(kept), step):
            some = _index(kept[start : start + step], out.device)
            values = self._dot(decoded.hyper[some], self.upscale(decoded.source[some]))
            rows = ((at >= start) & (at < start + step)).nonzero()[:, 0]
            chosen = (at[rows] - start).to(out.device)
            picked = values[chosen] if masks is None else values[chosen, masks[rows].to(out.device)]
            out[rows.to(out.device)] = self.to_image(picked)
        return out

    def _dot(self, hyper: Tensor, features: Tensor) -> Tensor:
        """(k, M, C/8) and `upscale`'s features (k, L, 2, 2, 2, 2, C/8) -> (k, M, L*16)."""
        count = hyper.shape[1]
        if count == 3:  # MKL is slower for three rows than for four
            hyper = F.pad(hyper, (0, 0, 0, 1))
        return torch.matmul(hyper, features.flatten(1, 5).mT)[:, :count]

    def to_image(self, x: Tensor) -> Tensor:
        """(..., h*w*16) in the order of `upscale` -> (..., 4h, 4w) float32."""
        g = self.grid
        # The innermost two stay neighbours, and moving each pair as one value is far faster.
        pairs = torch.view_as_complex(torch.unflatten(x.float().contiguous(), -1, (g, g, 2, 2, 2, 2)))  # h w y1 x1 y2
        moved = torch.movedim(pairs, (-5, -3, -1, -4, -2), (-5, -4, -3, -2, -1)).contiguous()  # h y1 y2 w x1
        return torch.view_as_real(moved).reshape(*x.shape[:-1], 4 * g, 4 * g)


def _per_cell(up: nn.Module, x: Tensor) -> Tensor:
    """The 2x2, stride 2 transposed convolution on channels-last cells: (..., C) -> (..., 2, 2, C')."""
    assert isinstance(up, nn.ConvTranspose2d) and up.bias is not None
    x = F.linear(x, up.weight.permute(2, 3, 1, 0).flatten(0, 2), up.bias.repeat(4))
    return torch.unflatten(x, -1, (2, 2, -1))


def _index(rows: Tensor, device: torch.device) -> slice | Tensor:
    """Sorted rows as an index: a slice where they follow each other, because it copies nothing."""
    first, last = int(rows[0]), int(rows[-1])
    return slice(first, last + 1) if last - first + 1 == len(rows) else rows.to(device)


def prompts_at_a_time(cells: Tensor) -> int:
    """How many prompts (..., L, C) to work on together: all, or on a CPU in inference as many as the cache holds."""
    if cells.is_cuda or torch.is_grad_enabled():
        return 1 << 30
    return max(1, CACHED_BYTES // (cells.shape[-2] * cells.shape[-1] * cells.element_size()))
