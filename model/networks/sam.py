"""SAM as one module: `encode` images once, `decode` any number of prompts against them.

It holds no image and no prompt. Embeddings are values that `encode` returns and `decode` takes.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import groupby
from types import MappingProxyType
from typing import Final, Self

import torch
from torch import Tensor, nn

from model.networks.image_encoder import ImageEncoder
from model.networks.lite_encoder import LiteEncoder
from model.networks.mask_decoder import Decoded, MaskDecoder
from model.networks.prompt_encoder import PromptEncoder
from model.networks.tiny_vit import TinyVit
from model.sizes import Size

ENCODERS: Final[Mapping[str, type[ImageEncoder | TinyVit | LiteEncoder]]] = MappingProxyType(
    {"vit": ImageEncoder, "tiny_vit": TinyVit, "lite": LiteEncoder}
)


class Sam(nn.Module):
    """The networks of one row, under the published state-dict names."""

    def __init__(self, row: Size) -> None:
        super().__init__()
        self.row = row
        self.image_encoder = ENCODERS[row.encoder](row)
        self.prompt_encoder = PromptEncoder(row)
        self.mask_decoder = MaskDecoder(row)

    @property
    def dtype(self) -> torch.dtype:
        """The dtype of weights and embeddings."""
        return self.mask_decoder.iou_token.weight.dtype

    @property
    def device(self) -> torch.device:
        """The device of the weights."""
        return self.mask_decoder.iou_token.weight.device

    def placed(self, device: str, dtype: torch.dtype) -> Self:
        """Itself on the device, in eval mode, with weights of this dtype."""
        return self.to(device, dtype).eval()

    def encode(self, pixels: Tensor) -> Tensor:
        """(B, 3, S, S) normalised RGB, zero-padded right and below -> (B, C, S/p, S/p) in the weights' dtype."""
        out: Tensor = self.image_encoder(pixels.to(self.dtype))
        return out

    def decode(
        self,
        embeddings: Tensor,
        image_index: Tensor,
        points: Tensor,
        labels: Tensor,
        boxes: Tensor | None = None,
        masks: Tensor | None = None,
        multimask: bool = True,
    ) -> tuple[Tensor, Tensor]:
        """Logits (N, M, 4h, 4w) and predicted IoU (N, M), float32; M is 3, or 1 without `multimask`.

        embeddings (B, C, h, w) from `encode`; image_index (N,) integers, on the host; points (N, P, 2) xy in
        model pixels 0..S (half a pixel is added here); labels (N, P): 1 foreground, 0 background, -1 padding;
        boxes (N, 4) x0 y0 x1 y1 in the same frame; masks (N, 1, 4h, 4w) logits. Callers group prompts: all N have
        the same number of points, and either all have a box or none, all a mask or none.
        """
        decoded = self.decode_tokens(embeddings, image_index, points, labels, boxes, masks, multimask)
        return self.upscale(decoded), decoded.iou

    def decode_tokens(
        self,
        embeddings: Tensor,
        image_index: Tensor,
        points: Tensor,
        labels: Tensor,
        boxes: Tensor | None = None,
        masks: Tensor | None = None,
        multimask: bool = True,
    ) -> Decoded:
        """The first half of `decode`, with the same arguments: predicted IoU, but no pixels."""
        sparse = self.prompt_encoder.tokens(points, labels, boxes)
        dense = self.prompt_encoder.dense(masks)
        cells = embeddings.to(self.dtype).flatten(2).mT  # (B, L, C)
        pe = self.prompt_encoder.dense_pe().to(self.dtype)
        if masks is not None:  # every prompt has cells of its own
            own = cells[image_index.to(cells.device)] + dense
            return self.mask_decoder.decode(sparse.unsqueeze(1), own.unsqueeze(1), pe, multimask)
        return self._decode_shared(sparse, (cells + dense).unsqueeze(1), pe, image_index.tolist(), multimask)

    def _decode_shared(self, sparse: Tensor, cells: Tensor, pe: Tensor, images: list[int], multimask: bool) -> Decoded:
        """Neighbouring prompts on the same image share work. If every image has equally many, they go together."""
        if not images:
            return self.mask_decoder.nothing(cells, multimask)
        runs = [(image, len(list(run))) for image, run in groupby(images)]
        if len({length for _, length in runs}) == 1:
            chosen = cells if [i for i, _ in runs] == list(range(len(cells))) else cells[[i for i, _ in runs]]
            grouped = torch.unflatten(sparse, 0, (len(runs), -1))
            return self.mask_decoder.decode(grouped, chosen, pe, multimask)
        parts, start = [], 0
        for image, length in runs:
            tokens = sparse[None, start : start + length]
            parts.append(self.mask_decoder.decode(tokens, cells[image : image + 1], pe, multimask))
            start += length
        return concatenate(parts)

    def upscale(self, decoded: Decoded, prompts: Tensor | None = None, masks: Tensor | None = None) -> Tensor:
        """The second half: logits float32 (N, M, 4h, 4w), or (K, 4h, 4w) of K pairs of prompt and mask on the host."""
        return self.mask_decoder.logits(decoded, prompts, masks)


def concatenate(parts: list[Decoded]) -> Decoded:
    """One Decoded of all prompts, in order."""
    return Decoded(
        torch.cat([part.hyper for part in parts]),
        torch.cat([part.source for part in parts]),
        torch.cat([part.iou for part in parts]),
    )
