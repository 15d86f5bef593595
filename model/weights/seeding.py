"""A Sam without a checkpoint: torch's own initialisation, or deterministic random weights at a realistic scale."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from model.networks.sam import Sam
from model.sizes import Size, size


def build(row: Size | str, seed: int | None = None) -> Sam:
    """A Sam of this row on the CPU, in eval mode, float32.

    Without a seed it has torch's default initialisation. With a seed every tensor is drawn at a realistic scale and
    none is zero, so that tests and benchmarks exercise every term. The masks of such a model mean nothing.
    """
    row = size(row) if isinstance(row, str) else row
    return (Sam(row) if seed is None else seeded(row, seed)).eval()


def seeded(row: Size, seed: int) -> Sam:
    """A Sam on the CPU, float32, every tensor drawn in state-dict order from one generator."""
    with torch.device("meta"):
        sam = Sam(row)
    sam.to_empty(device="cpu")
    _fill(sam, seed)
    return sam


def _fill(module: nn.Module, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    norms = {name for name, child in module.named_modules() if _is_norm(child)}
    with torch.no_grad():
        for name, tensor in module.state_dict().items():
            is_norm = name.rpartition(".")[0] in norms
            tensor.copy_(
                _draw(name, tensor, is_norm, generator) if tensor.is_floating_point() else tensor.new_zeros(())
            )


def _is_norm(module: nn.Module) -> bool:
    return "Norm" in type(module).__name__ and not list(module.children())


def _draw(name: str, like: Tensor, is_norm: bool, generator: torch.Generator) -> Tensor:
    noise = torch.randn(like.shape, generator=generator)
    leaf = name.rpartition(".")[2]
    if leaf == "running_var":
        return 1 + 0.2 * noise.tanh()
    if is_norm:
        return 1 + 0.1 * noise if leaf == "weight" else 0.05 * noise
    if leaf == "positional_encoding_gaussian_matrix":
        return noise
    if leaf in ("bias", "pos_embed", "rel_pos_h", "rel_pos_w", "attention_biases"):
        return (0.05 if leaf == "bias" else 0.2) * noise
    if like.ndim == 2 and like.shape[0] <= 4 and "layers" not in name:  # learned tokens, not projections
        return 0.5 * noise
    return noise / math.sqrt(_fan_in(name, like))


def _fan_in(name: str, weight: Tensor) -> int:
    if "output_upscaling" in name:  # transposed, kernel = stride: each output pixel sees one input pixel
        return weight.shape[0]
    return math.prod(weight.shape[1:])
