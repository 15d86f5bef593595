"""Torch's device errors come out as this package's own; the networks give a device work without waiting for it."""

import pytest
import torch

from model import image_encoder, mask_decoder
from model.device import device_errors
from model.errors import DeviceLost, OutOfMemory
from model.sam import Sam
from model.sizes import SIZES


@pytest.mark.parametrize(
    ("raised", "expected"),
    [(torch.OutOfMemoryError, OutOfMemory), (torch.AcceleratorError, DeviceLost), (ValueError, ValueError)],
)
def test_device_errors_are_ours(raised: type[Exception], expected: type[Exception]) -> None:
    with pytest.raises(expected, match="told"), device_errors():
        raise raised("told")


def test_a_cpu_allocation_that_can_not_be_had_is_no_lost_device() -> None:
    with pytest.raises(RuntimeError), device_errors():
        torch.empty(1 << 60, dtype=torch.uint8)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_networks_never_wait_for_a_value(dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch) -> None:
    """On tensors without values whatever reads one (item, nonzero, a copy to the host) raises: on a GPU it would sync.
    The branches are those that CUDA takes."""
    monkeypatch.setattr(image_encoder, "attend_sliced", image_encoder.attend_augmented)
    monkeypatch.setattr(mask_decoder, "CACHED_BYTES", 1 << 40)
    row = SIZES["sam_vit_b"]
    with torch.inference_mode(), torch.device("meta"):
        sam = Sam(row).to(dtype).eval()
        embeddings = sam.encode(torch.zeros(2, 3, row.image_size, row.image_size))
        points, labels = torch.zeros(6, 1, 2), torch.ones(6, 1, dtype=torch.int64)
        for images in ([0, 0, 0, 1, 1, 1], [0, 1, 1, 1, 1, 1]):  # as many prompts for each image, and not
            index = torch.tensor(images, device="cpu")
            decoded = sam.decode_tokens(embeddings, index, points, labels)
            assert decoded.iou.shape == (6, 3) and decoded.iou.dtype == torch.float32
            chosen = torch.tensor([4, 0, 4], device="cpu"), torch.tensor([1, 2, 0], device="cpu")
            assert sam.upscale(decoded, *chosen).shape == (3, row.mask_size, row.mask_size)
            assert sam.upscale(decoded).dtype == torch.float32
        boxes, masks = torch.zeros(6, 4), torch.zeros(6, 1, row.mask_size, row.mask_size)
        logits, _ = sam.decode(embeddings, index, points, labels, boxes, masks, multimask=False)
        assert logits.shape == (6, 1, row.mask_size, row.mask_size)
