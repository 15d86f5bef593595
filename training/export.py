"""Write trained weights as float16 safetensors under the published state-dict names."""

from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor


def export(state: dict[str, Tensor], path: Path) -> None:
    """Write the state of a Sam in float16, without BatchNorm's step counters."""
    half = {name: value.to(torch.float16).contiguous() for name, value in state.items() if value.is_floating_point()}
    part = path.with_name("." + path.name)
    save_file(half, part, metadata={"format": "pt", "licence": "Apache-2.0"})
    part.rename(path)
