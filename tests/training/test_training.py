"""The recipe: prompts that match their answers, losses that match their formulas, a decoder that is Sam's own."""

import math
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from model.networks.sam import Sam
from model.networks.transformer import TwoWayBlock
from model.sizes import size
from model.weights.checkpoint import load
from model.weights.seeding import build
from training import store as stores
from training.average import Average
from training.decoding import pick_phase, predict
from training.export import export
from training.initialise import fresh
from training.loop import Loop, Plan
from training.losses import BALANCE, DICE, EVERY_TOKEN, FOCAL, least_loss, mask_loss, true_iou
from training.objective import AffinityHead, Weights, step_loss
from training.prompts import (
    CORNER_0,
    FOREGROUND,
    PADDING,
    Batch,
    augment,
    draw_prompts,
    low_resolution,
    make_batch,
)
from training.replicas import Gradients
from training.resolution import set_side
from training.scenes import render_scene
from training.schedule import DECAY_FROM, ActiveClock, learning_rate, side_at
from training.store import Store, render
from training.textures import make_bank

ROW = size("sam_tiny")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run's folder with eight scenes to train on and four held out."""
    made = tmp_path_factory.mktemp("training")
    bank = make_bank(np.random.default_rng(1), tiles=16)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stores, "scene_bank", lambda: bank)
        render(made / "scenes", 8)
        render(made / "held-out", 4, stores.HELD_OUT_SEED)
    return made


@pytest.fixture(scope="module")
def batch(folder: Path) -> Batch:
    rng = np.random.default_rng(0)
    return make_batch(rng, Store(folder / "scenes"), 2, 24, 128, ROW.pixel_mean, ROW.pixel_std)


def test_a_batch_has_the_shapes_it_says(batch: Batch) -> None:
    assert batch.pixels.shape == (2, 3, 128, 128)
    assert batch.points.shape == (2, 24, 2, 2)
    assert batch.targets.shape == (2, 24, 3, 32, 32)
    assert batch.valid.shape == (2, 24, 3)
    assert set((16 * batch.targets).unique().tolist()) == set(range(17))
    assert batch.valid.any(-1).float().mean() > 0.9


def test_prompts_lie_in_what_they_ask_for() -> None:
    bank = make_bank(np.random.default_rng(1), tiles=8)
    rng = np.random.default_rng(3)
    clicks = boxes = 0
    for seed in range(4):
        view = augment(rng, render_scene(seed, bank), 256)
        points, kinds, members, sampled = draw_prompts(rng, view, 16)
        for k in range(16):
            wanted = members[k, sampled[k]][view.leaves]
            if not wanted.any():
                continue
            if kinds[k, 0] == CORNER_0:
                boxes += 1
                ys, xs = np.nonzero(wanted)
                tight = np.array([xs.min(), ys.min(), xs.max() + 1, ys.max() + 1])
                assert np.abs(points[k].ravel() - tight).max() <= 8
                assert members[k].any(1).sum() == 1
            else:
                clicks += 1
                assert kinds[k].tolist() == [FOREGROUND, PADDING]
                x, y = points[k, 0].astype(int)
                levels = [members[k, level][view.leaves] for level in range(3) if members[k, level].any()]
                assert all(mask[y, x] for mask in levels)
                assert all((inner <= outer).all() for outer, inner in pairwise(levels))
    assert clicks > 20
    assert boxes > 8


def test_padding_is_zero_and_belongs_to_nothing() -> None:
    bank = make_bank(np.random.default_rng(1), tiles=8)
    rng = np.random.default_rng(11)
    seen = 0
    for seed in range(8):
        view = augment(rng, render_scene(seed, bank), 128)
        tall, wide = view.size
        assert max(tall, wide) == 128
        seen += min(tall, wide) < 128
        assert (view.leaves[tall:] == 255).all() and (view.leaves[:, wide:] == 255).all()
        assert not view.image[tall:].any() and not view.image[:, wide:].any()
    assert seen


def test_mask_loss_is_focal_and_dice() -> None:
    torch.manual_seed(0)
    logits, target = torch.randn(1, 2, 50), torch.rand(1, 3, 50)
    found = mask_loss(logits, target)
    assert found.shape == (1, 3, 2)
    p, t = logits[0, 1].sigmoid(), target[0, 2]
    entropy = -(t * p.log() + (1 - t) * (1 - p).log())
    focal = ((t - p) ** 2 * entropy).mean()
    dice = 1 - (2 * (p * t).sum() + 1) / (p.square().sum() + t.square().sum() + 1)
    assert found[0, 2, 1].item() == pytest.approx((FOCAL * BALANCE * focal + DICE * dice).item(), rel=1e-5)


def test_the_mask_loss_is_least_at_the_share_of_the_cell() -> None:
    targets = torch.tensor([[0.0, 1 / 16, 0.25, 0.5, 0.8, 1.0]])
    shares = torch.logit(targets, eps=1e-4)
    best = mask_loss(shares, targets)
    for wrong in (shares - 0.3, shares + 0.3):
        assert best.item() < mask_loss(wrong, targets).item()


def test_a_cell_is_covered_by_the_share_of_its_pixels() -> None:
    rng = np.random.default_rng(0)
    leaves = rng.integers(0, 60, (32, 32)).astype(np.uint8)
    members = rng.random((3, 256)) > 0.5
    expected = members[:, leaves].reshape(3, 8, 4, 8, 4).mean((2, 4))
    assert np.abs(low_resolution(leaves, members) - expected).max() < 1e-6


def test_each_right_mask_takes_its_best_token() -> None:
    pairs = torch.tensor([[3.0, 1.0, 2.0], [5.0, 6.0, 4.0], [0.0, 0.0, 0.0]])
    valid = torch.tensor([True, True, False])
    expected = (1.0 + 4.0) / 2 + EVERY_TOKEN * (3.0 + 1.0 + 2.0)
    assert least_loss(pairs, valid).item() == pytest.approx(expected)
    assert least_loss(pairs, torch.zeros(3, dtype=torch.bool)).item() == 0


def test_true_iou_counts_pixels() -> None:
    logits = torch.tensor([[1.0, 1.0, -1.0, -1.0]])
    targets = torch.tensor([[1.0, 0.0, 1.0, 0.0], [1.0, 1.0, 0.0, 0.0]])
    assert true_iou(logits, targets)[:, 0].tolist() == pytest.approx([1 / 3, 1.0])


@pytest.mark.parametrize("phase", [None, (0, 0), (1, 0), (0, 1), (1, 1)])
def test_training_decodes_as_sam_does(phase: tuple[int, int] | None) -> None:
    sam = build("sam_tiny", seed=1)
    torch.manual_seed(0)
    embedding = torch.randn(2, ROW.out_chans, ROW.grid, ROW.grid)
    points = torch.rand(2, 3, 1, 2) * 256
    padded = torch.cat([points, torch.zeros_like(points)], 2)
    kinds = torch.tensor([FOREGROUND, PADDING]).expand(2, 3, 2)
    index = torch.tensor([0, 0, 0, 1, 1, 1])
    labels = torch.ones(6, 1)
    with torch.inference_mode():
        (found,) = predict(sam, embedding, padded, kinds, None, phase, deep=False)
        several, iou = sam.decode(embedding, index, points.flatten(0, 1), labels)
        one, _ = sam.decode(embedding, index, points.flatten(0, 1), labels, multimask=False)
    logits = torch.cat([one, several], 1)
    torch.testing.assert_close(found.logits.flatten(0, 1), pick_phase(logits, phase), rtol=1e-4, atol=1e-3)
    torch.testing.assert_close(found.iou.flatten(0, 1)[:, 1:], iou, rtol=1e-4, atol=1e-4)


def test_training_feeds_masks_back_as_sam_does() -> None:
    sam = build("sam_tiny", seed=2)
    torch.manual_seed(0)
    embedding = torch.randn(1, ROW.out_chans, ROW.grid, ROW.grid)
    box, point = torch.tensor([[20.0, 30, 90, 120]]), torch.tensor([[[40.0, 50.0]]])
    mask = torch.randn(1, 1, ROW.mask_size, ROW.mask_size)
    tokens = torch.cat([point, box.view(1, 2, 2)], 1)[None]
    kinds = torch.tensor([[[FOREGROUND, CORNER_0, CORNER_0 + 1]]])
    with torch.inference_mode():
        (found,) = predict(sam, embedding, tokens, kinds, mask, None, deep=False)
        wanted, _ = sam.decode(embedding, torch.zeros(1, dtype=torch.long), point, torch.ones(1, 1), box, mask)
    torch.testing.assert_close(found.logits[0, 0, 1:], wanted[0].flatten(1), rtol=1e-4, atol=1e-3)


def test_a_fresh_decoder_looks_at_the_click() -> None:
    sam = fresh(ROW, 0).eval()
    transformer = sam.mask_decoder.transformer
    layer = transformer.layers[0]
    assert isinstance(layer, TwoWayBlock)
    attention = layer.cross_attn_token_to_image
    near = []
    for x, y in [(40.0, 60.0), (128.0, 128.0), (200.0, 90.0), (100.0, 220.0)]:
        with torch.inference_mode():
            sparse = sam.prompt_encoder.tokens(torch.tensor([[[x, y]]]), torch.ones(1, 1), None)
            prompt = sam.mask_decoder.prompt(sparse)
            tokens = layer.norm1(layer.self_attn(prompt, prompt, prompt))
            q = attention.split(attention.q_proj(tokens + prompt)) * attention.scale
            k = attention.split(attention.k_proj(sam.prompt_encoder.dense_pe()[None]))
            seen = torch.matmul(q, k.mT).softmax(-1)[0, :, 1:5].mean((0, 1)).view(ROW.grid, ROW.grid)
        row, column = int(y // 16), int(x // 16)
        near.append(float(seen[row - 1 : row + 2, column - 1 : column + 2].sum()))
    assert min(near) > 0.3  # by chance .016: 9 of 576 cells
    assert np.mean(near) > 0.6


def test_the_trained_side_is_the_published_network() -> None:
    sam = build("sam_tiny", seed=3)
    pixels = torch.randn(1, 3, ROW.image_size, ROW.image_size)
    with torch.inference_mode():
        before = sam.encode(pixels)
        set_side(sam, 128)
        small = sam.encode(pixels[..., :128, :128])
        set_side(sam, ROW.image_size)
        after = sam.encode(pixels)
    assert small.shape == (1, ROW.out_chans, 8, 8)
    assert torch.equal(before, after)


@pytest.mark.parametrize("side", [128, 192])
def test_low_resolution_answers_in_its_own_frame(side: int) -> None:
    sam = build("sam_tiny", seed=3)
    set_side(sam, side)
    with torch.inference_mode():
        embedding = sam.encode(torch.randn(1, 3, side, side))
        index = torch.zeros(1, dtype=torch.long)
        logits, _ = sam.decode(embedding, index, torch.tensor([[[9.0, 9.0]]]), torch.ones(1, 1))
    assert logits.shape == (1, 3, side // 4, side // 4)


def test_the_learning_rate_warms_up_stays_and_falls() -> None:
    assert learning_rate(1.0, 0, 0.0) < 0.01
    assert learning_rate(1.0, 9, 0.0, warm_up=20) == 0.5
    assert learning_rate(1.0, 1000, 0.5) == 1.0
    assert learning_rate(1.0, 1000, DECAY_FROM) == 1.0
    middle = learning_rate(1.0, 1000, (1 + DECAY_FROM) / 2)
    assert 0.4 < middle < 0.6
    assert learning_rate(1.0, 1000, 1.0) == pytest.approx(0.01)


def test_low_resolution_comes_first() -> None:
    sides = [side_at(ROW.image_size, progress) for progress in np.linspace(0, 1, 21)]
    assert sides[0] == 128
    assert sides[-1] == ROW.image_size
    assert sides == sorted(sides)
    assert all(side % 16 == 0 for side in sides)


def test_a_pause_is_not_training() -> None:
    clock = ActiveClock()
    for _ in range(50):
        clock.add(1.0)
    clock.add(600.0)
    assert clock.seconds == pytest.approx(51.0)


def test_the_average_follows_parameters_and_statistics() -> None:
    model = nn.BatchNorm1d(2)
    average = Average(model)
    for name, tensor in model.state_dict().items():
        tensor.fill_(3)
        assert name in average.state
    for _ in range(3000):
        average.update(model)
    assert average.state["weight"].tolist() == pytest.approx([3, 3], abs=1e-3)
    assert average.state["running_mean"].tolist() == pytest.approx([3, 3], abs=1e-3)
    assert int(average.state["num_batches_tracked"]) == 3


def test_gradients_are_one_tensor() -> None:
    layer = nn.Linear(2, 1)
    gradients = Gradients(list(layer.parameters()), rank=0, world=1)
    layer(torch.tensor([[3.0, 4.0]])).sum().backward()
    assert gradients.share(0.25, False) == (0.25, False)
    assert gradients.clip(1.0) == pytest.approx(math.sqrt(9 + 16 + 1))
    assert layer.weight.grad is not None
    assert layer.weight.grad.norm() < 1
    gradients.clear()
    assert not layer.weight.grad.any()


def test_corrections_add_a_round(batch: Batch) -> None:
    sam, head = fresh(ROW, 0).train(), AffinityHead(ROW.out_chans)
    set_side(sam, 128)
    plain, parts = step_loss(sam, head, batch, np.random.default_rng(0), Weights(iou=1.0, corrections=False))
    more, _ = step_loss(sam, head, batch, np.random.default_rng(0), Weights(iou=1.0, corrections=True))
    assert torch.isfinite(plain) and torch.isfinite(more)
    assert more.item() > plain.item() + 1
    assert set(parts) == {"masks", "iou", "true", "affinity"}
    more.backward()
    (downscaling, *_) = sam.prompt_encoder.mask_downscaling.parameters()
    assert downscaling.grad is not None and downscaling.grad.abs().sum() > 0


def test_it_learns_two_scenes(folder: Path) -> None:
    torch.manual_seed(0)
    loop = Loop(Plan("sam_tiny", folder, minutes=60, images=2, prompts=12, scenes=2, peak=4e-3), rank=0, world=1)
    losses = [loop.advance()[0]["masks"] for _ in range(30)]
    assert all(math.isfinite(loss) for loss in losses)
    assert np.mean(losses[-5:]) < 0.87 * np.mean(losses[:5])


def test_the_export_is_what_ships(tmp_path: Path) -> None:
    sam = fresh(ROW, 0)
    path = tmp_path / "mine.safetensors"
    export(dict(sam.state_dict()), path)
    tensors = load_file(path)
    assert {t.dtype for t in tensors.values()} == {torch.float16}
    assert path.stat().st_size < 16 << 20
    assert set(tensors) == {name for name in sam.state_dict() if not name.endswith("num_batches_tracked")}
    loaded, _ = load(ROW, path)
    assert isinstance(loaded, Sam)
    sample = "mask_decoder.iou_token.weight"
    assert torch.equal(loaded.state_dict()[sample], sam.state_dict()[sample].half().float())


def _run(folder: Path, *more: str) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-m", "training", "--folder", str(folder), "--images", "1", "--scenes", "8", *more]
    return subprocess.Popen(command, env=os.environ | {"OMP_NUM_THREADS": "1"})


def _wait_for(path: Path) -> None:
    """Training makes this folder once it listens to signals."""
    deadline = time.monotonic() + 120
    while not path.exists() and time.monotonic() < deadline:
        time.sleep(0.1)


def test_two_processes_stop_and_go_on(folder: Path) -> None:
    run = _run(folder, "--minutes", "60")
    try:
        _wait_for(folder / "overlays")
        run.send_signal(signal.SIGTERM)
        assert run.wait(120) == 0
    finally:
        run.kill()
    state = torch.load(folder / "state.pt", weights_only=True)
    assert state["step"] > 0
    assert (folder / "log.jsonl").read_text().count('"oracle"') == 1
    assert list((folder / "overlays").glob("*.png"))
    assert _run(folder, "--resume", "--minutes", str(state["seconds"] / 60 + 0.02)).wait(180) == 0
    after = torch.load(folder / "state.pt", weights_only=True)
    assert after["step"] > state["step"]
    assert after["seconds"] > state["seconds"]


def test_more_minutes_do_not_lower_the_resolution(folder: Path, tmp_path: Path) -> None:
    for name in ("scenes", "held-out"):
        (tmp_path / name).symlink_to(folder / name)
    plan = Plan("sam_tiny", tmp_path, minutes=60, images=1, prompts=4)
    first = Loop(plan, rank=0, world=1)
    first.progress, first.clock.seconds = 0.3, 1080.0
    first.advance()
    assert first.side == 256
    first.save("state.pt")
    longer = Loop(replace(plan, minutes=600, resume=True), rank=0, world=1)
    longer.advance()
    assert longer.side == 256
    assert longer.step == 2
    assert longer.clock.seconds == 1080
    by_steps = Loop(replace(plan, steps=2, resume=True), rank=0, world=1)
    assert by_steps.progress == 0.5  # one of two, whatever the clock says
    assert by_steps.advance()[1] and by_steps.progress == 1.0


@pytest.mark.parametrize(("share", "from_step"), [(0.5, 7), (0.9, 5)])
def test_more_minutes_go_on_from_before_the_decay(folder: Path, tmp_path: Path, share: float, from_step: int) -> None:
    for name in ("scenes", "held-out"):
        (tmp_path / name).symlink_to(folder / name)
    plan = Plan("sam_tiny", tmp_path, minutes=60, images=1, prompts=4)
    first = Loop(plan, rank=0, world=1)
    first.step, first.clock.seconds = 5, 1000.0
    first.save("constant.pt")
    first.step, first.progress, first.clock.seconds = 7, share, share * 3600
    first.save("state.pt")
    assert Loop(replace(plan, minutes=600, resume=True), rank=0, world=1).step == from_step
