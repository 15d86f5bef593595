"""A segmenter by name. Torch is imported only where a real model is asked for."""

from pathlib import Path
from typing import Any

from model.null import NullSegmenter
from model.protocol import SegmenterProtocol


def load(
    name: str,
    checkpoint: str | Path | None = None,
    device: str = "cpu",
    precision: str = "exact",
    cache: Path | None = None,
) -> SegmenterProtocol[Any, Any]:
    """The segmenter called `name`: "null", or a row of model.sizes. Raises ModelError for an unknown name,
    CheckpointError for a missing or wrong file."""
    if name == "null":
        return NullSegmenter()
    from model.segmenter import Segmenter

    return Segmenter.load(name, checkpoint=checkpoint, device=device, precision=precision, cache=cache)


def default_device() -> str:
    """ "cuda" where torch sees such a device, else "cpu"."""
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def use_threads(count: int) -> None:
    """Let torch compute with that many threads in this process."""
    import torch

    torch.set_num_threads(count)
