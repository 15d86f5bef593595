"""TinyViT against a plain restatement, because no registry has this variant."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from model.networks.tiny_vit import ConvNorm
from model.sizes import SIZES, Size, Stage
from model.weights.seeding import build

# Windows that do not divide their grid (8 and 4 cells) and one that does.
ODD = replace(
    SIZES["mobile_sam"], name="odd", image_size=64, embed_dim=24, depth=5, num_heads=3, out_chans=32,
    stages=(Stage(8, 1, 0, 0, 4), Stage(12, 2, 2, 5, 2), Stage(16, 1, 4, 4, 2), Stage(24, 1, 3, 3, 1)),
)  # fmt: skip

State = dict[str, Tensor]


def _conv_norm(s: State, name: str, x: Tensor, stride: int = 1, depthwise: bool = False) -> Tensor:
    weight = s[name + ".c.weight"]
    x = F.conv2d(x, weight, None, stride, weight.shape[-1] // 2, groups=len(weight) if depthwise else 1)
    mean, var, weight, bias = (s[f"{name}.bn.{part}"] for part in ("running_mean", "running_var", "weight", "bias"))
    return F.batch_norm(x, mean, var, weight, bias, eps=1e-5)


def _layer_norm(s: State, name: str, x: Tensor, eps: float = 1e-5) -> Tensor:
    return F.layer_norm(x, x.shape[-1:], s[name + ".weight"], s[name + ".bias"], eps)


def _linear(s: State, name: str, x: Tensor) -> Tensor:
    return F.linear(x, s[name + ".weight"], s[name + ".bias"])


def _attention(s: State, name: str, x: Tensor, heads: int) -> Tensor:
    """One window (win, win, C), head by head and pair by pair."""
    window, _, dim = x.shape
    cells = x.reshape(-1, dim)
    d = dim // heads
    qkv = _linear(s, name + ".qkv", _layer_norm(s, name + ".norm", cells))
    seen = []
    for head in range(heads):
        q, k, v = qkv[:, 3 * d * head : 3 * d * (head + 1)].split(d, 1)
        scores = q @ k.T / d**0.5
        for a in range(window**2):
            for b in range(window**2):
                dy, dx = abs(a // window - b // window), abs(a % window - b % window)
                scores[a, b] += s[name + ".attention_biases"][head, dy * window + dx]
        seen.append(scores.softmax(1) @ v)
    return _linear(s, name + ".proj", torch.cat(seen, 1)).view(window, window, dim)


def _block(s: State, name: str, x: Tensor, stage: Stage) -> Tensor:
    """x (C, h, w)."""
    win, (c, h, w) = stage.window_size, x.shape
    grid = torch.zeros(-(-h // win) * win, -(-w // win) * win, c)
    grid[:h, :w] = x.permute(1, 2, 0)
    out = torch.zeros_like(grid)
    for y in range(0, grid.shape[0], win):
        for left in range(0, grid.shape[1], win):
            part = grid[y : y + win, left : left + win]
            out[y : y + win, left : left + win] = _attention(s, name + ".attn", part, stage.num_heads)
    x = x + out[:h, :w].permute(2, 0, 1)
    x = _conv_norm(s, name + ".local_conv", x[None], depthwise=True)[0]
    cells = x.permute(1, 2, 0)
    hidden = F.gelu(_linear(s, name + ".mlp.fc1", _layer_norm(s, name + ".mlp.norm", cells)))
    return x + _linear(s, name + ".mlp.fc2", hidden).permute(2, 0, 1)


def _mbconv(s: State, name: str, x: Tensor) -> Tensor:
    hidden = F.gelu(_conv_norm(s, name + ".conv1", x))
    hidden = F.gelu(_conv_norm(s, name + ".conv2", hidden, depthwise=True))
    return F.gelu(x + _conv_norm(s, name + ".conv3", hidden))


def _merge(s: State, name: str, x: Tensor, stride: int) -> Tensor:
    x = F.gelu(_conv_norm(s, name + ".conv1", x))
    x = F.gelu(_conv_norm(s, name + ".conv2", x, stride, depthwise=True))
    return _conv_norm(s, name + ".conv3", x)


def restated(s: State, row: Size, pixels: Tensor) -> Tensor:
    """The encoder on one image (1, 3, S, S), from the papers and the published names."""
    x = F.gelu(_conv_norm(s, "patch_embed.seq.0", pixels, stride=2))
    x = _conv_norm(s, "patch_embed.seq.2", x, stride=2)
    for i, stage in enumerate(row.stages):
        for j in range(stage.depth):
            name = f"layers.{i}.blocks.{j}"
            x = _block(s, name, x[0], stage)[None] if stage.num_heads else _mbconv(s, name, x)
        if i + 1 < len(row.stages):
            x = _merge(s, f"layers.{i}.downsample", x, row.stages[i + 1].stride)
    x = F.conv2d(x, s["neck.0.weight"])
    x = _layer_norm(s, "neck.1", x.permute(0, 2, 3, 1), 1e-6).permute(0, 3, 1, 2)
    x = F.conv2d(x, s["neck.2.weight"], padding=1)
    return _layer_norm(s, "neck.3", x.permute(0, 2, 3, 1), 1e-6).permute(0, 3, 1, 2)


@pytest.mark.parametrize("seed", [0, 1])
def test_encoder_equals_its_restatement(seed: int) -> None:
    sam = build(ODD, seed=seed)
    pixels = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(seed))
    with torch.inference_mode():
        expected = restated(dict(sam.image_encoder.state_dict()), ODD, pixels)
        found = sam.encode(pixels)
    assert found.shape == (1, 32, 4, 4)
    assert 0.5 < expected.std() < 2
    assert (found - expected).abs().max() < 1e-4


def test_names_are_those_of_the_published_file() -> None:
    names = set(build("mobile_sam").image_encoder.state_dict())
    assert {
        "patch_embed.seq.0.c.weight",
        "patch_embed.seq.2.bn.running_var",
        "layers.0.blocks.1.conv3.bn.num_batches_tracked",
        "layers.0.downsample.conv2.c.weight",
        "layers.1.blocks.0.attn.attention_biases",
        "layers.2.blocks.5.attn.qkv.bias",
        "layers.3.blocks.1.local_conv.c.weight",
        "layers.3.blocks.1.mlp.norm.weight",
        "layers.3.blocks.1.mlp.fc2.bias",
        "neck.3.bias",
    } <= names
    assert not any("attention_bias_idxs" in name or "layers.3.downsample" in name for name in names)


def test_batch_norm_learns_in_training_and_is_folded_afterwards() -> None:
    sam = build(ODD, seed=0)
    norm = sam.image_encoder.get_submodule("patch_embed.seq.0")
    assert isinstance(norm, ConvNorm) and norm.bn.running_mean is not None
    before = norm.bn.running_mean.clone()
    sam.train()
    sam.encode(torch.randn(2, 3, 64, 64)).sum().backward()
    assert not torch.equal(before, norm.bn.running_mean)
    assert norm.c.weight.grad is not None and norm.c.weight.grad.abs().sum() > 0
    sam.eval()
    x = torch.randn(1, 3, 8, 8)
    with torch.inference_mode():
        assert (norm(x) - norm.bn(norm.c(x))).abs().max() < 1e-5
