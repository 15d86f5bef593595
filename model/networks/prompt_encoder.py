"""Points, boxes and masks as embeddings. Source: SAM paper, appendix A; names as published.

Coordinates are model pixels, xy, 0..S, of pixel corners; half a pixel is added here. Positions are computed in
float32, whatever the dtype of the weights.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from model.networks.layers import LayerNorm2d
from model.sizes import Size

PADDING = -1  # label of a padding point


class PositionEmbedding(nn.Module):
    """Random Fourier features of positions in the unit square."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.register_buffer("positional_encoding_gaussian_matrix", torch.randn(2, dim // 2))
        self.positional_encoding_gaussian_matrix: Tensor

    def forward(self, unit: Tensor) -> Tensor:
        """(..., 2) xy in 0..1, float32 -> (..., dim) float32."""
        projected = (2 * unit - 1) @ self.positional_encoding_gaussian_matrix.float() * (2 * math.pi)
        return torch.cat([projected.sin(), projected.cos()], -1)


class PromptEncoder(nn.Module):
    """Sparse tokens for points and boxes, a dense map for masks."""

    def __init__(self, row: Size) -> None:
        super().__init__()
        dim, hidden = row.out_chans, row.mask_in_chans
        self.grid, self.image_size = row.grid, row.image_size
        self.pe_layer = PositionEmbedding(dim)
        self.point_embeddings = nn.ModuleList(nn.Embedding(1, dim) for _ in range(4))  # bg, fg, two corners
        self.not_a_point_embed = nn.Embedding(1, dim)
        self.mask_downscaling = nn.Sequential(
            nn.Conv2d(1, hidden // 4, 2, stride=2),
            LayerNorm2d(hidden // 4),
            nn.GELU(),
            nn.Conv2d(hidden // 4, hidden, 2, stride=2),
            LayerNorm2d(hidden),
            nn.GELU(),
            nn.Conv2d(hidden, dim, 1),
        )
        self.no_mask_embed = nn.Embedding(1, dim)
        self._dense: tuple[object, Tensor] | None = None

    def dense_pe(self) -> Tensor:
        """Positional embedding of every cell of the image embedding, (h*w, C) float32. Cached until weights change."""
        matrix = self.pe_layer.positional_encoding_gaussian_matrix
        version = None if matrix.is_inference() else matrix._version  # inference tensors have no version
        key = (matrix.data_ptr(), version, matrix.device, matrix.dtype, self.grid)
        if self._dense is None or self._dense[0] != key:
            self._dense = (key, self._compute_dense(matrix.device))
        return self._dense[1]

    @torch.inference_mode(False)  # training may use the cached tensor later
    def _compute_dense(self, device: torch.device) -> Tensor:
        at = (torch.arange(self.grid, device=device, dtype=torch.float32) + 0.5) / self.grid
        y, x = torch.meshgrid(at, at, indexing="ij")
        dense: Tensor = self.pe_layer(torch.stack([x, y], -1)).flatten(0, 1)
        return dense

    def tokens(self, points: Tensor, labels: Tensor, boxes: Tensor | None) -> Tensor:
        """points (N, P, 2), labels (N, P) of 1, 0 or PADDING, boxes (N, 4) x0 y0 x1 y1 -> (N, T, C) float32.

        Without a box, points get one more padding point, as published weights expect. A box is two more tokens. With
        neither, T is 0.
        """
        if boxes is None and points.shape[1]:
            points = torch.cat([points, points.new_zeros(len(points), 1, 2)], 1)
            labels = torch.cat([labels, labels.new_full((len(labels), 1), PADDING)], 1)
        tokens = self._embed_points(points, labels)
        return tokens if boxes is None else torch.cat([tokens, self._embed_boxes(boxes)], 1)

    def _embed_points(self, points: Tensor, labels: Tensor) -> Tensor:
        kinds = torch.cat([self.not_a_point_embed.weight, self._kind(0), self._kind(1)]).float()
        position = self._position(points) * (labels != PADDING).unsqueeze(-1)
        return position + kinds[labels.long() + 1]

    def _embed_boxes(self, boxes: Tensor) -> Tensor:
        corners = torch.cat([self._kind(2), self._kind(3)]).float()
        return self._position(boxes.view(-1, 2, 2)) + corners

    def _kind(self, kind: int) -> Tensor:
        embedding = self.point_embeddings[kind]
        assert isinstance(embedding, nn.Embedding)
        return embedding.weight

    def _position(self, xy: Tensor) -> Tensor:
        out: Tensor = self.pe_layer((xy.float() + 0.5) / self.image_size)
        return out

    def dense(self, masks: Tensor | None) -> Tensor:
        """The summand of the image embedding: (1, 1, C) without masks, (N, h*w, C) from (N, 1, 4h, 4w) logits."""
        if masks is None:
            return self.no_mask_embed.weight.unsqueeze(0)
        dtype = self.no_mask_embed.weight.dtype
        embedded: Tensor = self.mask_downscaling(masks.to(dtype))
        return embedded.flatten(2).mT
