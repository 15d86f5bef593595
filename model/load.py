"""A segmenter by name. Torch is imported only where a real model is asked for."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from model.backends.null import NullSegmenter
from model.errors import ModelError
from model.protocol import SegmenterProtocol


def load(
    name: str,
    checkpoint: str | Path | None = None,
    device: str = "cpu",
    precision: str = "exact",
    cache: Path | None = None,
    download: Callable[[str, Path], None] | None = None,
    bfloat16: bool | None = None,
) -> SegmenterProtocol[Any, Any]:
    """The segmenter called `name`: "null", or a row of model.sizes. `download(uri, path)` brings an s3:// checkpoint
    into `cache`. Raises ModelError for an unknown name, CheckpointError for a missing or wrong file."""
    if name == "null":
        return NullSegmenter()
    from model.backends.sam import Segmenter

    return Segmenter.load(
        name,
        checkpoint=checkpoint,
        device=device,
        precision=precision,
        cache=cache,
        download=download,
        bfloat16=bfloat16,
    )


def default_device() -> str:
    """ "cuda" where torch sees such a device, else "cpu"."""
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def check_device(device: str) -> None:
    """Raises ModelError where torch does not have it."""
    import torch

    kind, _, index = device.partition(":")
    if kind == "cuda" and int(index or 0) >= torch.cuda.device_count():
        raise ModelError(f"there is no device {device!r}: torch finds {torch.cuda.device_count()} CUDA devices here")


def prepare_process(device: str, threads: int | None) -> None:
    """Once, where a process starts that computes with real models: torch's threads, and freed memory kept on a CPU."""
    import torch

    from model.memory import keep_freed_memory

    if threads is not None:
        torch.set_num_threads(threads)
    if device == "cpu":
        keep_freed_memory()
