"""The networks give equal results however the work is divided, in each precision."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from model.networks import image_encoder, mask_decoder
from model.networks.image_encoder import attend_augmented, attend_sliced, from_windows, to_windows
from model.networks.sam import Sam
from model.sizes import SIZES
from model.weights.seeding import build
from tests.model.rows import SHALLOW


@pytest.fixture(scope="module")
def sam() -> Sam:
    return build(SHALLOW, seed=8)


@pytest.fixture(scope="module")
def embeddings(sam: Sam) -> Tensor:
    with torch.inference_mode():
        return sam.encode(torch.randn(3, 3, 128, 128, generator=torch.Generator().manual_seed(1)))


def _clicks(n: int) -> tuple[Tensor, Tensor]:
    random = torch.Generator().manual_seed(n)
    return torch.rand(n, 2, 2, generator=random) * 128, torch.tensor([[1, 0]]).expand(n, -1)


def test_prompts_on_several_images_equal_each_alone(sam: Sam, embeddings: Tensor) -> None:
    points, labels = _clicks(7)
    for index in ([0, 0, 1, 1, 1, 2, 0], [2, 1, 0, 1, 2, 0, 1], [1] * 7):
        with torch.inference_mode():
            logits, iou = sam.decode(embeddings, torch.tensor(index), points, labels)
            for i, image in enumerate(index):
                one = embeddings[image : image + 1]
                alone, alone_iou = sam.decode(one, torch.tensor([0]), points[i : i + 1], labels[i : i + 1])
                assert (logits[i] - alone[0]).abs().max() < 1e-5
                assert (iou[i] - alone_iou[0]).abs().max() < 1e-5


@pytest.mark.parametrize(("multimask", "masks"), [(True, 3), (False, 1)])
def test_no_prompts_give_no_masks(sam: Sam, embeddings: Tensor, multimask: bool, masks: int) -> None:
    points, labels = _clicks(1)
    given = torch.zeros(0, dtype=torch.long), points[:0], labels[:0]
    with torch.inference_mode():
        logits, iou = sam.decode(embeddings, *given, multimask=multimask)
    assert logits.shape == (0, masks, 64, 64)
    assert iou.shape == (0, masks)


@pytest.mark.parametrize("cells", [1, 3, 5])
def test_a_few_prompts_at_a_time_equal_all_at_once(
    sam: Sam, embeddings: Tensor, monkeypatch: pytest.MonkeyPatch, cells: int
) -> None:
    points, labels = _clicks(8)
    index = torch.tensor([0] * 4 + [2] * 4)
    masks = torch.randn(8, 1, 64, 64, generator=torch.Generator().manual_seed(5))
    for given in (None, masks):
        with torch.inference_mode():
            whole, whole_iou = sam.decode(embeddings, index, points, labels, masks=given)
            monkeypatch.setattr(mask_decoder, "CACHED_BYTES", cells * 256 * 64 * 4)
            cut, cut_iou = sam.decode(embeddings, index, points, labels, masks=given)
            monkeypatch.undo()
        assert (whole - cut).abs().max() < 1e-5
        assert (whole_iou - cut_iou).abs().max() < 1e-5


def test_chosen_masks_equal_those_of_all(sam: Sam, embeddings: Tensor) -> None:
    points, labels = _clicks(6)
    prompts, masks = torch.tensor([5, 0, 5, 3]), torch.tensor([2, 0, 0, 1])
    with torch.inference_mode():
        decoded = sam.decode_tokens(embeddings, torch.tensor([1] * 6), points, labels)
        every, some = sam.upscale(decoded), sam.upscale(decoded, prompts, masks)
        none = sam.upscale(decoded, prompts[:0], masks[:0])
    assert (every[prompts, masks] - some).abs().max() < 1e-5
    assert none.shape == (0, 64, 64)


def test_gradients_give_the_same_answer_and_reach_every_weight(sam: Sam) -> None:
    points, labels = _clicks(6)
    pixels = torch.randn(1, 3, 128, 128, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        expected, _ = sam.decode(sam.encode(pixels), torch.tensor([0] * 6), points, labels)
    single, boxes = (points[:, :0], labels[:, :0]), torch.tensor([[5.0, 5.0, 50.0, 60.0]]).expand(6, -1)
    embedding = sam.encode(pixels)
    logits, iou = sam.decode(embedding, torch.tensor([0] * 6), points, labels)
    assert (logits - expected).abs().max() < 1e-5
    masks = torch.randn(6, 1, 64, 64, generator=torch.Generator().manual_seed(5))
    boxed, boxed_iou = sam.decode(embedding, torch.tensor([0] * 6), *single, boxes, masks, multimask=False)
    (logits.sum() + iou.sum() + boxed.sum() + boxed_iou.sum()).backward()
    untouched = {name for name, p in sam.named_parameters() if p.grad is None or not p.grad.any()}
    sam.zero_grad()
    # The bias of keys shifts all scores of a query alike, so its gradient is rounding or nothing.
    assert {name for name in untouched if not name.endswith("k_proj.bias")} == set()


def test_padding_points_are_the_references(sam: Sam) -> None:
    points, labels = torch.tensor([[[20.0, 30.0]]]), torch.tensor([[1]])
    encoder = sam.prompt_encoder
    padded = encoder.tokens(points, labels, None)
    assert padded.shape[1] == 2, "a point without a box is followed by one that is not a point"
    assert torch.equal(padded[0, 1], encoder.not_a_point_embed.weight[0])
    box = torch.tensor([[1.0, 2.0, 30.0, 40.0]])
    assert encoder.tokens(points, labels, box).shape[1] == 3
    assert encoder.tokens(points[:, :0], labels[:, :0], box).shape[1] == 2
    assert encoder.tokens(points[:, :0], labels[:, :0], None).shape[1] == 0


def test_padding_a_prompt_is_not_neutral(sam: Sam, embeddings: Tensor) -> None:
    points, labels = _clicks(1)
    more = torch.cat([points, torch.zeros(1, 1, 2)], 1), torch.cat([labels, torch.tensor([[-1]])], 1)
    with torch.inference_mode():
        plain, _ = sam.decode(embeddings, torch.tensor([0]), points, labels)
        ragged, _ = sam.decode(embeddings, torch.tensor([0]), *more)
    assert (plain - ragged).abs().max() > 1e-3, "so prompts have to be grouped by their number of points"


def test_layer_norms_have_the_published_eps(sam: Sam) -> None:
    found = {
        name.split(".")[0]: {m.eps for m in getattr(sam, name).modules() if hasattr(m, "eps")}
        for name in ("image_encoder", "prompt_encoder")
    }
    assert found == {"image_encoder": {1e-6}, "prompt_encoder": {1e-6}}
    assert {m.eps for m in sam.mask_decoder.transformer.modules() if isinstance(m, nn.LayerNorm)} == {1e-5}


def test_dense_position_follows_the_weights(sam: Sam) -> None:
    copy = build(SHALLOW, seed=9)
    before = copy.prompt_encoder.dense_pe()
    assert copy.prompt_encoder.dense_pe() is before
    copy.load_state_dict(sam.state_dict())
    assert torch.equal(copy.prompt_encoder.dense_pe(), sam.prompt_encoder.dense_pe())
    assert not torch.equal(before, copy.prompt_encoder.dense_pe())


def test_a_network_built_in_inference_mode_works() -> None:
    with torch.inference_mode():
        copy = build(SHALLOW, seed=9)
        points, labels = _clicks(1)
        logits, _ = copy.decode(copy.encode(torch.zeros(1, 3, 128, 128)), torch.tensor([0]), points, labels)
    assert logits.isfinite().all()


def _attention_inputs(h: int, w: int) -> list[Tensor]:
    random = torch.Generator().manual_seed(h * w)
    shapes = [(2, 3, h * w, 8)] * 3 + [(2, 3, h, w, h), (2, 3, h, w, w)]
    return [torch.randn(shape, generator=random) for shape in shapes]


@pytest.mark.parametrize("size", [(6, 6), (5, 7), (8, 3)])
@pytest.mark.parametrize("slice_bytes", [1, 3000, 1 << 20])
def test_attention_with_relative_positions(
    monkeypatch: pytest.MonkeyPatch, size: tuple[int, int], slice_bytes: int
) -> None:
    q, k, v, rel_h, rel_w = _attention_inputs(*size)
    positions = (rel_h[..., :, None] + rel_w[..., None, :]).flatten(4).flatten(2, 3)
    expected = torch.matmul((torch.matmul(q, k.mT) / 8**0.5 + positions).softmax(-1), v).transpose(1, 2)
    monkeypatch.setattr(image_encoder, "SLICE_BYTES", slice_bytes)
    for attend in (attend_sliced, attend_augmented):
        with torch.inference_mode():
            assert (attend(q, k, v, rel_h, rel_w) - expected).abs().max() < 1e-5
        assert (attend(q, k, v, rel_h, rel_w) - expected).abs().max() < 1e-5


@pytest.mark.parametrize("size", [(6, 6), (7, 11), (1, 3), (13, 12)])
def test_windows_and_back(size: tuple[int, int]) -> None:
    x = torch.randn(2, *size, 5, generator=torch.Generator().manual_seed(0))
    windows = to_windows(x, 6)
    assert windows.shape[1:] == (6, 6, 5)
    assert torch.equal(from_windows(windows, 6, *size), x)
    assert windows.sum().item() == pytest.approx(x.sum().item(), abs=1e-3), "padded with zeros"
    padding = torch.arange(5.0)
    padded = to_windows(x, 6, padding)
    assert torch.equal(from_windows(padded, 6, *size), x)
    extra = padded.sum() - windows.sum()
    assert extra.item() == pytest.approx((windows[..., 0].numel() - x[..., 0].numel()) * 10, abs=1e-2)


@pytest.mark.parametrize("name", ["small", "sam_tiny"])
def test_bfloat16_gives_almost_the_same_masks(name: str) -> None:
    row = SHALLOW if name == "small" else SIZES[name]
    exact, fast = build(row, seed=8), build(row, seed=8).to(torch.bfloat16)
    pixels = torch.randn(1, 3, row.image_size, row.image_size, generator=torch.Generator().manual_seed(2))
    points, labels = _clicks(4)
    with torch.inference_mode():
        logits, iou = exact.decode(exact.encode(pixels), torch.tensor([0] * 4), points, labels)
        embedding = fast.encode(pixels)
        close, close_iou = fast.decode(embedding, torch.tensor([0] * 4), points, labels)
    assert embedding.dtype == torch.bfloat16
    assert close.dtype == close_iou.dtype == torch.float32
    assert (logits - close).abs().mean() < 0.05 * logits.std()
    assert (iou - close_iou).abs().max() < 0.1
