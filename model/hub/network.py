"""One network of transformers behind the interface that tasks know (`model.networks.protocol`)."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import groupby
from math import prod
from typing import Any, Final, Self

import torch
from torch import Tensor, nn

from model.hub.families import Family, Maps

MASKS: Final = 8
"""Prompts with masks to decode at a time: each has a copy of its image's embedding, up to 17 MB."""


@dataclass(frozen=True)
class HubRow:
    """The scales of a network, and its defaults. `mean` and `std` are of channels from 0 to 1."""

    name: str
    image_size: int
    mask_size: int
    stretched: bool
    mean: tuple[float, ...]
    std: tuple[float, ...]
    automatic: Mapping[str, float]

    @property
    def pixel_mean(self) -> tuple[float, ...]:
        """Of pixels from 0 to 255, rounded as transformers rounds it."""
        return tuple((torch.tensor(self.mean) * 255).tolist())

    @property
    def pixel_std(self) -> tuple[float, ...]:
        return tuple((torch.tensor(self.std) * 255).tolist())


@dataclass(frozen=True)
class HubDecoded:
    """Masks of N prompts, M each. transformers decodes in one step, so the pixels are there already."""

    logits: Tensor  # (N, M, low, low) float32
    iou: Tensor  # (N, M) float32


class HubNetwork(nn.Module):
    """A network of transformers and the row of its family.

    Where the decoder needs several maps of an image, its embedding holds them end to end: (B, L).
    """

    def __init__(self, network: Any, family: Family, row: HubRow) -> None:
        super().__init__()
        self.network, self.family, self.row = network, family, row
        self._shapes = family.shapes(network.config)
        self._encodes_in = torch.float32

    @property
    def one_map(self) -> bool:
        """Whether an image's embedding is one map, (C, h, w)."""
        return len(self._shapes) == 1

    @property
    def image_encoder(self) -> nn.Module:
        encoder: nn.Module = self.network.vision_encoder
        return encoder

    @property
    def dtype(self) -> torch.dtype:
        """The dtype of embeddings."""
        return self._encodes_in

    @property
    def device(self) -> torch.device:
        device: torch.device = self.network.device
        return device

    def placed(self, device: str, dtype: torch.dtype) -> Self:
        """Itself on the device. Only the image encoder computes in `dtype`: a position in bfloat16 is pixels off."""
        self._encodes_in = dtype
        return self.to(device).eval()

    def encode(self, pixels: Tensor) -> Tensor:
        """(B, 3, S, S) normalised RGB → (B, C, h, w), or (B, L) of several maps."""
        with torch.autocast(pixels.device.type, self._encodes_in, enabled=self._encodes_in != torch.float32):
            maps = [each.to(self._encodes_in) for each in self.family.maps(self.network, pixels)]
        return maps[0] if len(maps) == 1 else torch.cat([each.flatten(1) for each in maps], 1)

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
        """Logits (N, M, low, low) and predicted IoU (N, M), float32. Arguments as for `Sam.decode`."""
        decoded = self.decode_tokens(embeddings, image_index, points, labels, boxes, masks, multimask)
        return decoded.logits, decoded.iou

    def decode_tokens(
        self,
        embeddings: Tensor,
        image_index: Tensor,
        points: Tensor,
        labels: Tensor,
        boxes: Tensor | None = None,
        masks: Tensor | None = None,
        multimask: bool = True,
    ) -> HubDecoded:
        """As `decode`. Prompts of one image go together, and those of several where each has as many.

        transformers takes a mask for each image of a batch, so prompts with masks get an image each, a few at a time.
        """
        images = image_index.tolist()
        if masks is not None:
            groups = [[(image, 1) for image in images[at : at + MASKS]] for at in range(0, len(images), MASKS)]
        else:
            runs = [(image, len(list(run))) for image, run in groupby(images)]
            groups = [runs] if len({length for _, length in runs}) == 1 else [[run] for run in runs]
        parts, at = [], 0
        for group in groups:
            rows = slice(at, at + sum(length for _, length in group))
            given = tuple(None if each is None else _unflat(each[rows], len(group)) for each in (points, labels, boxes))
            own = embeddings[[image for image, _ in group]]
            parts.append(self._ask(own, given, None if masks is None else masks[rows], multimask))
            at = rows.stop
        return HubDecoded(torch.cat([p.logits for p in parts]), torch.cat([p.iou for p in parts]))

    def _ask(
        self, embeddings: Tensor, given: tuple[Tensor | None, ...], masks: Tensor | None, multimask: bool
    ) -> HubDecoded:
        """embeddings (B, …), given: points (B, P, n, 2), labels (B, P, n), boxes (B, P, 4); masks (B, 1, low, low)."""
        points, labels, boxes = given
        pointed = points is not None and points.shape[2] > 0
        answer = self.network(
            **self.family.given(self._maps(embeddings)),
            input_points=points if pointed else None,
            input_labels=labels if pointed else None,
            input_boxes=boxes,
            input_masks=masks,
            multimask_output=multimask,
        )
        return HubDecoded(answer.pred_masks.flatten(0, 1).float(), answer.iou_scores.flatten(0, 1).float())

    def _maps(self, embeddings: Tensor) -> Maps:
        """What `encode` put together."""
        packed = embeddings.float()
        if self.one_map:
            return (packed,)
        parts = torch.split(packed, [prod(shape) for shape in self._shapes], 1)
        return tuple(part.unflatten(1, shape) for part, shape in zip(parts, self._shapes, strict=True))

    def upscale(self, decoded: HubDecoded, prompts: Tensor | None = None, masks: Tensor | None = None) -> Tensor:
        """Logits float32 (N, M, low, low), or (K, low, low) of K pairs of prompt and mask on the host."""
        if prompts is None or masks is None:
            return decoded.logits
        device = decoded.logits.device
        return decoded.logits[prompts.to(device), masks.to(device)]


def _unflat(tensor: Tensor, images: int) -> Tensor:
    """(N, …) of equally many prompts an image → (B, P, …)."""
    return torch.unflatten(tensor, 0, (images, len(tensor) // images))
