"""The weights of a benchmark: trained ones if there are any, else random ones that give blobs."""

from __future__ import annotations

from pathlib import Path

import torch

from bench import straightforward
from bench.blobs import as_blobs
from bench.photographs import photograph
from model.backends.sam import Segmenter
from model.networks.sam import Sam
from model.sizes import size
from model.weights import files
from model.weights.checkpoint import load
from model.weights.seeding import build


def network(name: str, device: str = "cpu", checkpoint: Path | None = None) -> tuple[Sam, str]:
    """float32 on the device, and the weights' revision."""
    if checkpoint or (files.BUNDLED / f"{name}.safetensors").is_file():
        sam, revision = load(size(name), checkpoint)
        return sam.to(device), revision
    sam = build(name, seed=0).to(device)
    return as_blobs(sam, straightforward.prepare(sam.row, photograph(0.3), device)), "blobs-0"


def segmenters(
    name: str,
    device: str,
    precisions: list[str],
    checkpoint: Path | None = None,
    bfloat16: bool | None = None,
) -> dict[str, Segmenter]:
    """Precision → a segmenter that caches no embedding; all of the same weights."""
    sam, revision = network(name, device, checkpoint)
    return {p: Segmenter(_twin(sam), revision, device, p, cache_bytes=0, bfloat16=bfloat16) for p in precisions}


def _twin(sam: Sam) -> Sam:
    """Another module on the same tensors, until it is cast."""
    with torch.device("meta"):
        twin = Sam(sam.row)
    twin.load_state_dict(sam.state_dict(), assign=True)
    return twin


def segmenter(name: str, device: str, precision: str, checkpoint: Path | None = None) -> Segmenter:
    """One precision alone."""
    sam, revision = network(name, device, checkpoint)
    return Segmenter(sam, revision, device, precision, cache_bytes=0)
