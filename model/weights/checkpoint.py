"""Read checkpoints, and load them into networks."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from model.errors import CheckpointError
from model.networks.sam import Sam
from model.sizes import Size
from model.weights.files import Download, find, split_digest, verify

REVISION_DIGITS = 12
# Tensors of published files that are not needed: MobileSAM's classifier, an index that is computed here, and
# statistics that are in the row.
IGNORED = ("image_encoder.norm_head.", "image_encoder.head.", "pixel_mean", "pixel_std")
COUNTER = ".num_batches_tracked"
IGNORED_ENDINGS = (".attention_bias_idxs",)
UNREADABLE = (OSError, RuntimeError, ValueError, EOFError, KeyError, pickle.UnpicklingError, SafetensorError)


def load(
    row: Size, checkpoint: str | Path | None = None, *, cache: Path | None = None, download: Download | None = None
) -> tuple[Sam, str]:
    """The network of `row` with trained weights, and their revision. float32, on the CPU, in eval mode.

    `checkpoint`: a .safetensors or .pth/.pt file, or an s3:// URI, which needs `cache` and `download`. None searches.
    A digest appended as `#<sha256>` is checked. Raises CheckpointError, which says what to do.
    """
    path = find(row, checkpoint, cache=cache, download=download)
    digest = verify(row, path, split_digest(checkpoint)[1])
    with torch.device("meta"):  # no time for weights that are replaced below
        sam = Sam(row)
    fit(sam, read(path), path)
    return sam.eval(), digest[:REVISION_DIGITS]


def read(path: Path) -> dict[str, Tensor]:
    """Names and tensors of a checkpoint. Runs no code from the file. Raises CheckpointError if it cannot be read."""
    try:
        if path.suffix == ".safetensors":
            content: object = load_file(path)
        else:
            content = torch.load(path, map_location="cpu", weights_only=True)
    except UNREADABLE as error:
        raise CheckpointError(f"{path} cannot be read as a checkpoint, partial or another format: {error}") from error
    if not isinstance(content, dict) or not all(isinstance(value, Tensor) for value in content.values()):
        raise CheckpointError(f"{path} holds no flat state dict: a mapping of names to tensors is needed")
    return content


def fit(sam: Sam, state: Mapping[str, Tensor], source: object) -> None:
    """Load the tensors as float32. CheckpointError names those that are missing, unexpected or of another shape."""
    state = {name: tensor for name, tensor in state.items() if not _ignored(name)}
    # Only training uses a BatchNorm's batch counter, so exported files may leave it out.
    counters = {name: torch.zeros((), dtype=torch.long) for name in sam.state_dict() if name.endswith(COUNTER)}
    state, own = counters | state, sam.state_dict()
    missing, unexpected = sorted(own.keys() - state.keys()), sorted(state.keys() - own.keys())
    misshapen = [name for name in own.keys() & state.keys() if own[name].shape != state[name].shape]
    wrong = {"missing": missing, "unexpected": unexpected, "of another shape": sorted(misshapen)}
    if any(wrong.values()):
        told = "; ".join(f"{len(names)} {what}: {_some(names)}" for what, names in wrong.items() if names)
        raise CheckpointError(f"{source} is no checkpoint of {sam.row.name}: {told}")
    sam.load_state_dict({name: tensor.to(own[name].dtype, copy=True) for name, tensor in state.items()}, assign=True)


def _ignored(name: str) -> bool:
    return name.startswith(IGNORED) or name.endswith(IGNORED_ENDINGS)


def _some(names: list[str], shown: int = 5) -> str:
    return ", ".join(names[:shown]) + (", …" if len(names) > shown else "")
