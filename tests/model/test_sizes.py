"""Rows of models: parameter counts, names, deterministic seeds."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from model.errors import UnknownModel
from model.networks.sam import Sam
from model.sizes import SIZES, size
from model.weights.seeding import build


@pytest.mark.parametrize("name", SIZES)
def test_parameter_count_is_the_rows(name: str) -> None:
    with torch.device("meta"):
        sam = Sam(SIZES[name])
    assert sum(p.numel() for p in sam.parameters()) == SIZES[name].parameters


def test_mobile_sam_counts_like_the_published_file_without_its_classifier() -> None:
    classifier = 2 * 320 + 320 * 1000 + 1000
    assert SIZES["mobile_sam"].parameters + classifier == 10_130_092


@pytest.mark.parametrize("name", SIZES)
def test_strides_multiply_to_the_patch_size(name: str) -> None:
    row = SIZES[name]
    product = 1
    for stage in row.stages:
        product *= stage.stride
    assert product == (row.patch_size if row.stages else 1)
    assert row.image_size % row.patch_size == 0
    assert row.depth == sum(stage.depth for stage in row.stages) or not row.stages


def test_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(UnknownModel, match=r"sam_huge.*sam_vit_h.*sam_tiny"):
        size("sam_huge")


def test_seeded_weights_are_reproducible_and_nowhere_zero() -> None:
    one, two, other = build("sam_tiny", seed=1), build("sam_tiny", seed=1), build("sam_tiny", seed=2)
    for name, tensor in one.state_dict().items():
        assert torch.equal(tensor, two.state_dict()[name]), name
        if tensor.is_floating_point():
            assert not torch.equal(tensor, other.state_dict()[name]), name
            assert (tensor != 0).any(), name


def test_rows_are_read_without_torch() -> None:
    code = "import sys, model.sizes; assert 'torch' not in sys.modules"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
