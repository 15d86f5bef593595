"""Our networks against `transformers.SamModel` with the same random weights."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from model.networks.sam import Sam
from model.sizes import SIZES, Size
from model.weights.seeding import build
from tests.model import transformers_oracle as theirs
from tests.model.rows import SMALL

ENCODER_TOLERANCE = 1e-4
LOGIT_TOLERANCE = 1e-3


class Pair:
    """Our network, theirs, and one image's embedding from ours."""

    def __init__(self, row: Size, seed: int) -> None:
        self.ours: Sam = build(row, seed=seed)
        self.theirs = theirs.oracle(self.ours)
        self.pixels = torch.randn(1, 3, row.image_size, row.image_size, generator=_random(seed))
        self.pixels[:, :, row.image_size * 3 // 4 :] = 0  # padded like a wide photograph
        with torch.inference_mode():
            self.embedding = self.ours.encode(self.pixels)


def _random(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture(scope="module")
def small() -> Pair:
    return Pair(SMALL, seed=3)


@pytest.fixture(scope="module")
def vit_b() -> Pair:
    """The published network on smaller images: a sixth of the work, and windows that need padding as at 1024."""
    return Pair(replace(SIZES["sam_vit_b"], image_size=512), seed=5)


def _prompts(row: Size, kind: str, n: int = 5) -> dict[str, Tensor]:
    random, side = _random(11), row.image_size
    given: dict[str, Tensor] = {}
    if "points" in kind:
        count = int(kind[0]) if kind[0].isdigit() else 1
        given["points"] = torch.rand(n, count, 2, generator=random) * side
        given["labels"] = torch.randint(0, 2, (n, count), generator=random)
    if "box" in kind:
        low, high = torch.rand(2, n, 2, generator=random).sort(0).values * side
        given["boxes"] = torch.cat([low, high], 1)
    if "mask" in kind:
        given["masks"] = 4 * torch.randn(1, 1, row.mask_size, row.mask_size, generator=random)
    return given


def _decode_both(pair: Pair, given: dict[str, Tensor], multimask: bool) -> tuple[Tensor, ...]:
    n = len(next(iter(given.values())))
    points = given.get("points", torch.zeros(n, 0, 2))
    labels = given.get("labels", torch.zeros(n, 0, dtype=torch.long))
    index = torch.zeros(n, dtype=torch.long)
    with torch.inference_mode():
        logits, iou = pair.ours.decode(
            pair.embedding, index, points, labels, given.get("boxes"), given.get("masks"), multimask
        )
    expected = theirs.decode(
        pair.theirs, pair.embedding, given.get("points"), given.get("labels"), given.get("boxes"),
        given.get("masks"), multimask,
    )  # fmt: skip
    return logits, iou, *expected


def _assert_equal_masks(logits: Tensor, iou: Tensor, expected: Tensor, expected_iou: Tensor) -> None:
    assert logits.shape == expected.shape
    assert iou.shape == expected_iou.shape
    assert 0.1 < expected.std() < 10, "logits of order one, or the tolerance means nothing"
    assert (logits - expected).abs().max() <= LOGIT_TOLERANCE
    assert (iou - expected_iou).abs().max() <= LOGIT_TOLERANCE
    certain = expected.abs() > 1e-5  # the sign of smaller logits is rounding
    assert torch.equal((logits > 0)[certain], (expected > 0)[certain])
    assert certain.float().mean() > 0.9999


def test_small_encoder(small: Pair) -> None:
    with torch.inference_mode():
        expected = small.theirs.get_image_embeddings(small.pixels)
    assert 0.5 < expected.std() < 2
    assert (small.embedding - expected).abs().max() <= ENCODER_TOLERANCE


@pytest.mark.parametrize("multimask", [True, False])
@pytest.mark.parametrize("kind", ["points", "3 points", "9 points", "box", "points+box", "3 points+box"])
def test_small_decoder(small: Pair, kind: str, multimask: bool) -> None:
    _assert_equal_masks(*_decode_both(small, _prompts(SMALL, kind), multimask))


@pytest.mark.parametrize("multimask", [True, False])
@pytest.mark.parametrize("kind", ["points+mask", "box+mask", "points+box+mask"])
def test_small_decoder_with_a_mask(small: Pair, kind: str, multimask: bool) -> None:
    _assert_equal_masks(*_decode_both(small, _prompts(SMALL, kind, n=1), multimask))


def test_vit_b(vit_b: Pair) -> None:
    with torch.inference_mode():
        expected = vit_b.theirs.get_image_embeddings(vit_b.pixels)
    assert (vit_b.embedding - expected).abs().max() <= ENCODER_TOLERANCE
    row = vit_b.ours.row
    for kind, n, multimask in (("points", 2, True), ("box", 2, False), ("points+box+mask", 1, True)):
        _assert_equal_masks(*_decode_both(vit_b, _prompts(row, kind, n), multimask))
