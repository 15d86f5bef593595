"""Pixels as transformers' processors make them, with the same arithmetic, without torchvision.

Padded networks have a processor that resizes with Pillow, stretched ones one that resizes with torch.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import interpolate

from model.embeddings.encoder import Encoder
from model.hub.network import HubRow
from model.masks.frames import Frame, Pixels, resize


class HubEncoder(Encoder):
    """The encoder of a `HubNetwork`."""

    def resized(self, image: Pixels, frame: Frame) -> Pixels:
        """The crop at the model's scale, uint8 (h', w', 3)."""
        if not frame.stretched:
            return resize(image, frame)
        x0, y0, x1, y1 = frame.crop
        crop = torch.from_numpy(np.require(image[y0:y1, x0:x1], requirements=("C", "W"))).permute(2, 0, 1)[None]
        found = interpolate(crop.contiguous(), frame.resized, mode="bilinear", align_corners=False, antialias=True)
        return np.ascontiguousarray(found[0].permute(1, 2, 0).numpy())

    def normalised(self, crops: Sequence[Pixels]) -> Tensor:
        """uint8 (h', w', 3) each → float32 (B, 3, S, S)."""
        row = self._sam.row
        if row.stretched:
            return super().normalised(crops)
        assert isinstance(row, HubRow)
        mean, std = (torch.tensor(each).view(3, 1, 1) for each in (row.mean, row.std))
        batch = torch.zeros(len(crops), 3, row.image_size, row.image_size)
        for slot, crop in zip(batch, crops, strict=True):
            unit = (torch.from_numpy(crop).double() * (1 / 255)).float()  # rounded before it is normalised
            slot[:, : crop.shape[0], : crop.shape[1]] = (unit.permute(2, 0, 1) - mean) / std
        return batch.to(self._mean.device)
