"""Device errors of torch become this package's, and the networks do not wait for a device."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from model.backends.sam import Segmenter
from model.device import device_errors, free_bytes
from model.errors import DeviceLost, ModelError, OutOfMemory
from model.load import check_device
from model.masks import dense
from model.masks.frames import whole
from model.networks import image_encoder, mask_decoder
from model.networks.sam import Sam
from model.sizes import SIZES
from model.spec import Automatic
from model.tasks import search
from model.tasks.parameters import resolve
from model.weights.seeding import build
from tests.model.rows import SHALLOW


@pytest.mark.parametrize(
    ("raised", "expected"),
    [(torch.OutOfMemoryError, OutOfMemory), (torch.AcceleratorError, DeviceLost), (ValueError, ValueError)],
)
def test_device_errors_are_ours(raised: type[Exception], expected: type[Exception]) -> None:
    with pytest.raises(expected, match="told"), device_errors():
        raise raised("told")


def test_a_device_that_torch_does_not_have_is_named() -> None:
    check_device("cpu")
    with pytest.raises(ModelError, match=r"there is no device 'cuda:99': torch finds \d+ CUDA devices here"):
        check_device("cuda:99")


def test_a_cpu_allocation_that_can_not_be_had_is_a_memory_error() -> None:
    with pytest.raises(MemoryError), device_errors():
        torch.empty(1 << 60, dtype=torch.uint8)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_networks_never_wait_for_a_value(dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch) -> None:
    """Meta tensors have no values, so reading one (item, nonzero, a copy to the host) raises. On a GPU it would wait.

    The branches are those of CUDA.
    """
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


def test_measures_of_all_masks_cross_together(monkeypatch: pytest.MonkeyPatch) -> None:
    """The figures of a chunk read no value, so the host waits once for all chunks."""
    monkeypatch.setattr(dense, "PIXELS", 1)
    with torch.device("meta"):
        measured = dense.figures(torch.zeros(5, 256, 256), whole(300, 400, 1024), 1024, 1.0)
    assert measured.shape == (6, 5)


@pytest.mark.parametrize(
    ("dtype", "free_gb", "points"),
    [(torch.bfloat16, 80, 2384), (torch.float32, 16, 238), (torch.float32, 1, 32), (torch.bfloat16, 1000, 4096)],
)
def test_a_gpu_decodes_what_it_has_room_for(
    dtype: torch.dtype, free_gb: int, points: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search, "free_bytes", lambda _: free_gb * 10**9)
    embedding = torch.zeros(1, 256, 64, 64, dtype=dtype)
    assert search.points_at_a_time(embedding, resolve(Automatic(points_per_batch=8), SIZES["sam_vit_b"])) == points


def test_a_cpu_decodes_what_the_task_asks_for() -> None:
    embedding = torch.zeros(1, 256, 64, 64)
    assert free_bytes(embedding.device) is None
    for asked, taken in ((8, 8), (1000, search.MOST_POINTS)):
        task = Automatic(points_per_batch=asked)
        assert search.points_at_a_time(embedding, resolve(task, SIZES["sam_vit_b"])) == taken


def test_the_encoder_is_one_graph_for_any_number_of_images(monkeypatch: pytest.MonkeyPatch) -> None:
    """As compiling for CUDA needs. There are two graphs: for one image, and for more. Nothing is compiled here."""
    monkeypatch.setattr(image_encoder, "attend_sliced", image_encoder.attend_augmented)
    s = Segmenter(build(SHALLOW, seed=0), "seed-0", "cpu", "exact")
    with torch.inference_mode():
        pixels = torch.randn(5, 3, SHALLOW.image_size, SHALLOW.image_size, generator=torch.Generator().manual_seed(0))
        plain = s.sam.encode(pixels)
        graphs: list[torch.fx.GraphModule] = []

        def keep(graph: torch.fx.GraphModule, _: list[torch.Tensor]) -> Callable[..., object]:
            graphs.append(graph)
            return graph.forward

        s.compile_encoder(backend=keep)
        s.batch_images = 8
        s.warm()
        assert len(graphs) == 2
        assert torch.allclose(s.sam.encode(pixels), plain, atol=1e-5)
    assert len(graphs) == 2, "five images compile nothing anew"


def test_encoder_and_decoder_are_graphs_without_a_break(monkeypatch: pytest.MonkeyPatch) -> None:
    """`torch.export` traces the branches of CUDA whole, and the graphs give the same values."""
    monkeypatch.setattr(image_encoder, "attend_sliced", image_encoder.attend_augmented)
    monkeypatch.setattr(mask_decoder, "CACHED_BYTES", 1 << 40)
    sam, random = build(SHALLOW, seed=0), torch.Generator().manual_seed(0)
    pixels = torch.randn(1, 3, SHALLOW.image_size, SHALLOW.image_size, generator=random)
    points, labels = torch.rand(5, 1, 2, generator=random) * SHALLOW.image_size, torch.ones(5, 1, dtype=torch.int64)

    class Decode(torch.nn.Module):
        """The decoder for prompts on one image. Its cells and prompts are what `Sam.decode_tokens` gives it."""

        def __init__(self) -> None:
            super().__init__()
            self.masks = sam.mask_decoder

        def forward(
            self, sparse: torch.Tensor, cells: torch.Tensor, pe: torch.Tensor
        ) -> tuple[torch.Tensor, torch.Tensor]:
            decoded = self.masks.decode(sparse, cells, pe, True)
            features = self.masks.upscale(decoded.source).flatten(1, 5)
            return self.masks.to_image(torch.matmul(decoded.hyper, features.mT)), decoded.iou

    with torch.no_grad():
        embedding = sam.encode(pixels)
        encoder = torch.export.export(sam.image_encoder, (pixels,), strict=False)
        assert torch.allclose(encoder.module()(pixels), embedding, atol=1e-5)
        sparse = sam.prompt_encoder.tokens(points, labels, None)[None]
        cells = (embedding.flatten(2).mT + sam.prompt_encoder.dense(None)).unsqueeze(1)
        given = sparse, cells, sam.prompt_encoder.dense_pe()
        logits, iou = torch.export.export(Decode(), given, strict=False).module()(*given)
        expected, expected_iou = sam.decode(embedding, torch.zeros(5, dtype=torch.int64), points, labels)
    assert torch.allclose(logits, expected, atol=1e-4) and torch.allclose(iou, expected_iou, atol=1e-5)


def test_a_full_gpu_fails_the_batch_and_not_the_segmenter(monkeypatch: pytest.MonkeyPatch) -> None:
    """The allocator refuses in the middle of decoding. The same segmenter then computes the same image."""
    s = Segmenter(build(SHALLOW, seed=0), "seed-0", "cpu", "exact")
    image, task = np.zeros((40, 60, 3), np.uint8), Automatic(points_per_side=3, pred_iou_thresh=0.0)
    refused = [True]
    decode = s.sam.mask_decoder.decode

    def refusing(*given: Any) -> Any:
        if refused.pop() if refused else False:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return decode(*given)

    monkeypatch.setattr(s.sam.mask_decoder, "decode", refusing)
    with pytest.raises(OutOfMemory, match="CUDA out of memory"):
        s.run([image], [task])
    assert s.run([image], [task]) == Segmenter(build(SHALLOW, seed=0), "seed-0", "cpu", "exact").run([image], [task])
