"""An image encoder on EfficientNet-Lite0: its maps are joined at stride 16; then come attention and SAM's neck."""

from __future__ import annotations

from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from model.networks.efficient_net import STAGES, EfficientNet
from model.networks.layers import neck
from model.networks.tiny_vit import TinyVitBlock
from model.sizes import Size

READ: Final = ((1, 4), (2, 8), (4, 16), (6, 32))
"""Which stages are read, and the stride of each. Their maps have all that is known at that stride."""


class LiteEncoder(nn.Module):
    """(B, 3, S, S) normalised pixels -> (B, out_chans, S/p, S/p); p is the stride of the row's first stage."""

    def __init__(self, row: Size) -> None:
        super().__init__()
        width, stride = row.stages[0].dim, row.stages[0].stride
        self.backbone = EfficientNet()
        self.laterals = nn.ModuleList(
            nn.Conv2d(STAGES[number].after, width, max(1, stride // finer), max(1, stride // finer))
            for number, finer in READ
        )
        self.blocks = nn.ModuleList(
            TinyVitBlock(stage, row.mlp_ratio) for stage in row.stages for _ in range(stage.depth)
        )
        self.neck = neck(width, row.out_chans)

    def forward(self, pixels: Tensor) -> Tensor:
        return self.joined(self.backbone(pixels.contiguous(memory_format=torch.channels_last)))

    def joined(self, maps: list[Tensor]) -> Tensor:
        """The embedding from the maps of all stages."""
        *fine, coarse = (lateral(maps[number]) for lateral, (number, _) in zip(self.laterals, READ, strict=True))
        x = F.interpolate(coarse, fine[-1].shape[2:], mode="bilinear", align_corners=False)
        for part in fine:
            x = x + part
        for block in self.blocks:
            x = block(x)
        out: Tensor = self.neck(x)
        return out
