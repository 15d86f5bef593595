"""`fast` against `exact` with the shipped weights, with bfloat16 forced on and off.

A processor without bfloat16 emulates it slowly, with the same numbers.
"""

import numpy as np
import pytest
import torch

from bench.agreement import overlaps
from model.backends.sam import Segmenter
from model.device import working_dtype
from model.protocol import Options
from model.spec import Automatic, Prompt, Prompted
from tests.model.photographs import photograph

PHOTOGRAPHS = ("camera.png", "coins.png", "horse.png")


@pytest.fixture(scope="module")
def pair() -> tuple[Segmenter, Segmenter]:
    fast = Segmenter.load("sam_tiny", Options(precision="fast", bfloat16=True))
    assert fast.sam.dtype == torch.bfloat16
    return fast, Segmenter.load("sam_tiny")


def test_automatic_masks_agree(pair: tuple[Segmenter, Segmenter]) -> None:
    """A mask that one of them filters has no counterpart, so that this is lower than for prompts."""
    best: list[float] = []
    counts = np.zeros(2)
    for name in PHOTOGRAPHS:
        fast, exact = ([m.rle for m in s.run([photograph(name, 200)], [Automatic(points_per_side=8)])[0]] for s in pair)
        counts += len(fast), len(exact)
        best += overlaps(fast, exact)[0].max(0).tolist()
    assert np.mean(best) > 0.9
    assert np.median(best) > 0.97
    assert abs(counts[0] / counts[1] - 1) <= 0.05


def test_prompted_masks_agree(pair: tuple[Segmenter, Segmenter]) -> None:
    """Nothing is filtered here, so every mask has its counterpart."""
    same: list[float] = []
    for name in PHOTOGRAPHS:
        image = photograph(name, 200)
        at = np.random.default_rng(0).random((10, 2)) * image.shape[1::-1]
        task = Prompted(tuple(Prompt(points=((float(x), float(y)),), labels=(1,)) for x, y in at))
        fast, exact = ([m.rle for m in s.run([image], [task])[0]] for s in pair)
        same += np.diag(overlaps(fast, exact)[0]).tolist()
    assert len(same) == 30 * len(PHOTOGRAPHS)
    assert np.mean(same) >= 0.96
    assert np.median(same) >= 0.98


def test_fast_without_bfloat16_is_exact() -> None:
    image = photograph("coins.png", 200)
    fast, exact = (
        Segmenter.load("sam_tiny", Options(precision=precision, bfloat16=False)).run(
            [image], [Automatic(points_per_side=4)]
        )
        for precision in ("fast", "exact")
    )
    assert fast == exact and fast[0]


@pytest.mark.parametrize("native", [True, False])
def test_the_device_decides_where_nobody_does(native: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: native)
    assert working_dtype("cpu", "fast") == (torch.bfloat16 if native else torch.float32)
    assert working_dtype("cpu", "exact", bfloat16=True) == torch.float32
    assert working_dtype("cuda:0", "fast") == torch.bfloat16
    assert working_dtype("cuda:0", "fast", bfloat16=False) == torch.float32
