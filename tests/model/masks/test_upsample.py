"""Full-size measures and runs: cells equal dense interpolation."""

import numpy as np
import pytest
import torch

from model import jit
from model.masks import compiled, dense, rle, sparse
from model.masks.frames import whole
from model.masks.upsample import runs

FRAMES = [(90, 120), (1, 1), (1, 50), (50, 1), (100, 37), (37, 300), (256, 256), (700, 500), (9, 2000)]


@pytest.mark.parametrize("size", FRAMES)
@pytest.mark.parametrize("sharpness", [0.5, 6, 60])
@pytest.mark.parametrize("stretched", [False, True])
def test_cells_equal_dense_upsampling(size: tuple[int, int], sharpness: float, stretched: bool) -> None:
    frame = whole(*size, 256, stretched)
    noise = torch.randn(6, 1, 9, 9, generator=torch.Generator().manual_seed(0))
    logits = torch.nn.functional.interpolate(noise, (64, 64), mode="bicubic")[:, 0].contiguous() * sharpness
    logits[0], logits[1] = 5, -5
    plainly, sparsely = (path.measure(logits, frame, 256, 1.0, 0.0) for path in (dense, sparse))
    assert (plainly.index == sparsely.index).all()
    assert np.allclose(plainly.stability, sparsely.stability, atol=1e-4, equal_nan=True)
    assert (plainly.boxes == sparsely.boxes).all()
    expected = [rle.runs(mask.numpy()).tolist() for mask in dense.upsampled(logits, frame, 256) > 0]
    assert [r.tolist() for r in runs(logits, frame, 256)] == expected
    for path in (dense, sparse):
        stability, lengths = path.trace(logits, frame, 256, 1.0)
        assert np.allclose(stability, plainly.stability, atol=1e-4, equal_nan=True)
        assert [r.tolist() for r in lengths] == expected


@pytest.mark.parametrize("offset", [0.0, 1.0, 3.0])
def test_cells_stability_filter(offset: float) -> None:
    frame = whole(90, 120, 256)
    logits = torch.randn(8, 64, 64, generator=torch.Generator().manual_seed(1)) * 2
    logits[3] = -50  # no pixel above −offset: stability NaN, which passes no threshold
    every = dense.measure(logits, frame, 256, offset, 0.0)
    assert np.isnan(every.stability[3])
    threshold = float(np.sort(every.stability)[4])
    for path in (dense, sparse):
        some = path.measure(logits, frame, 256, offset, threshold)
        assert some.index.tolist() == np.flatnonzero(every.stability >= threshold).tolist()
        assert (some.boxes == every.boxes[some.index]).all()


@pytest.mark.parametrize("size", [*FRAMES, (1100, 2000)])
def test_compiled_passes_equal_those_without_numba(size: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    """Bit for bit, with more masks than threads and more changes than there is room for at first."""
    monkeypatch.setattr(compiled, "CHANGES", 3)
    frame, random = whole(*size, 256), torch.Generator().manual_seed(2)
    rough = torch.randn(5, 64, 64, generator=random) * torch.tensor([0.2, 1, 5, 40, 1]).view(-1, 1, 1)
    rough[4] = -3
    found = []
    for available in (True, False):
        monkeypatch.setattr(jit, "AVAILABLE", available)
        some = sparse.measure(rough, frame, 256, 1.0, 0.05)
        every, lengths = sparse.trace(rough, frame, 256, 0.0)
        found.append([some.index, some.stability, some.boxes, every, *lengths, *runs(rough, frame, 256)])
    for with_numba, without in zip(*found, strict=True):
        assert np.array_equal(with_numba, without, equal_nan=with_numba.dtype == np.float32)
