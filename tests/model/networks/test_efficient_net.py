"""EfficientNet-Lite0 against a plain restatement with the package's own weights, and the encoder on top of it."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from model.networks.efficient_net import STAGES, EfficientNet, folded
from model.networks.lite_encoder import LiteEncoder
from model.sizes import size
from model.weights.seeding import build
from model.words.efficientnet_lite import EfficientNetLite0
from training.initialise import features_file

State = dict[str, Tensor]


@pytest.fixture(scope="module")
def published() -> State:
    state: State = torch.load(features_file(), weights_only=True)
    return state


def _filtered(s: State, x: Tensor, convolution: str, norm: str, stride: int = 1) -> Tensor:
    """A convolution padded as TensorFlow does, then BatchNorm."""
    weight = s[convolution + ".weight"]
    kernel = weight.shape[-1]
    total = max((-(-x.shape[-1] // stride) - 1) * stride + kernel - x.shape[-1], 0)
    x = F.pad(x, [total // 2, total - total // 2] * 2)
    x = F.conv2d(x, weight, None, stride, groups=x.shape[1] // weight.shape[1])
    mean, var, scale, shift = (s[f"{norm}.{part}"] for part in ("running_mean", "running_var", "weight", "bias"))
    return F.batch_norm(x, mean, var, scale, shift, eps=1e-3)


def _maps(s: State, x: Tensor) -> list[Tensor]:
    x = F.relu6(_filtered(s, x, "_conv_stem", "_bn0", 2))
    maps, number = [], 0
    for stage in STAGES:
        for i in range(stage.repeats):
            block = f"_blocks.{number}."
            y = x
            if stage.expansion > 1:
                y = F.relu6(_filtered(s, y, block + "_expand_conv", block + "_bn0"))
            stride = stage.stride if i == 0 else 1
            y = F.relu6(_filtered(s, y, block + "_depthwise_conv", block + "_bn1", stride))
            y = _filtered(s, y, block + "_project_conv", block + "_bn2")
            x = x + y if i > 0 else y
            number += 1
        maps.append(x)
    return maps


def _classes(s: State, x: Tensor) -> Tensor:
    x = F.relu6(_filtered(s, _maps(s, x)[-1], "_conv_head", "_bn1")).mean((2, 3))
    return F.linear(x, s["_fc.weight"], s["_fc.bias"])


@torch.inference_mode()
@pytest.mark.parametrize("side", [64, 75])
def test_the_folded_network_gives_the_package_s_maps(published: State, side: int) -> None:
    network = EfficientNet()
    network.load_state_dict(folded(published))
    pixels = torch.randn(2, 3, side, side, generator=torch.Generator().manual_seed(side))
    for ours, theirs in zip(network(pixels), _maps(published, pixels), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-3)


@torch.inference_mode()
def test_its_classes_are_the_package_s(published: State) -> None:
    pixels = torch.randn(2, 3, 96, 96, generator=torch.Generator().manual_seed(1))
    ours = EfficientNetLite0.published(published).eval()(pixels)
    torch.testing.assert_close(ours, _classes(published, pixels), rtol=1e-3, atol=1e-3)


@torch.inference_mode()
def test_the_encoder_joins_all_its_maps() -> None:
    """A change of one pixel is felt in the embedding through every map on its own."""
    row = size("sam_tiny")
    encoder = build(row, seed=3).image_encoder
    assert isinstance(encoder, LiteEncoder)
    maps = encoder.backbone(torch.randn(1, 3, 384, 384, generator=torch.Generator().manual_seed(2)))
    before = encoder.joined(maps)
    assert before.shape == (1, row.out_chans, row.grid, row.grid)
    for read in (1, 2, 4, 6):
        changed = list(maps)
        changed[read] = maps[read] + 1
        assert not torch.allclose(encoder.joined(changed), before)
    changed = [m + 1 if n not in (1, 2, 4, 6) else m for n, m in enumerate(maps)]
    assert torch.equal(encoder.joined(changed), before)
