"""Procedural scenes: seeded, fast, and right about what belongs to what."""

import time
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from training import shapes, sprites, store, textures
from training.scenes import MAX_LEAVES, SIDE, Scene, render_scene
from training.store import HELD_OUT_SEED, Store, default_folder, render


@pytest.fixture(scope="module")
def bank() -> NDArray[np.uint8]:
    return textures.make_bank(np.random.default_rng(1), tiles=24)


@pytest.fixture(scope="module")
def scenes(bank: NDArray[np.uint8]) -> list[Scene]:
    return [render_scene(seed, bank) for seed in range(12)]


def test_a_seed_is_a_scene(bank: NDArray[np.uint8], scenes: list[Scene]) -> None:
    again = render_scene(3, bank)
    assert np.array_equal(again.image, scenes[3].image)
    assert np.array_equal(again.leaves, scenes[3].leaves)
    assert np.array_equal(again.table, scenes[3].table)
    assert not np.array_equal(scenes[3].image, scenes[4].image)


def test_every_pixel_has_a_leaf_that_the_table_knows(scenes: list[Scene]) -> None:
    for scene in scenes:
        assert scene.image.shape == (SIDE, SIDE, 3)
        assert scene.leaves.max() < MAX_LEAVES
        assert (scene.table[np.unique(scene.leaves), 0] > 0).all()


def test_parts_and_details_belong_to_one_object(scenes: list[Scene]) -> None:
    nested = 0
    for scene in scenes:
        present = scene.table[np.unique(scene.leaves)]
        for level in (1, 2):
            for number in np.unique(present[present[:, level] > 0, level]):
                owners = np.unique(present[present[:, level] == number, 0])
                pieces = [owner for owner in owners if owner]
                assert pieces
                nested += len(pieces) == 1
    assert nested > 20


def test_scenes_differ_in_what_they_hold(scenes: list[Scene]) -> None:
    counts = [len(np.unique(scene.table[scene.leaves, 0])) for scene in scenes]
    assert min(counts) >= 1
    assert max(counts) > 2 * min(counts)
    spread = [scene.image.reshape(-1, 3).std(0).mean() for scene in scenes]
    assert np.median(spread) > 15


def test_a_scene_is_rendered_fast_enough_to_be_endless(bank: NDArray[np.uint8]) -> None:
    began = time.process_time()
    for seed in range(100, 108):
        render_scene(seed, bank)
    assert (time.process_time() - began) / 8 < 0.5  # 0.06 s on an idle core; slack for a shared one


@pytest.mark.parametrize("kind", [*shapes.KINDS, "circle"])
def test_every_kind_of_shape_draws(kind: str) -> None:
    mask = shapes.draw(np.random.default_rng(0), 60, kind)
    assert mask.dtype == np.uint8
    assert 30 < (mask > 127).sum() <= 70 * 70


def test_a_circle_is_round() -> None:
    mask = shapes.draw(np.random.default_rng(0), 60, "circle") > 127
    assert abs(mask.sum() - np.pi * 30**2) < 0.05 * np.pi * 30**2


def test_rough_edges_stay_in_one_piece() -> None:
    rng = np.random.default_rng(2)
    mask = shapes.draw(rng, 80, "ellipse", 0.8)
    rough = shapes.roughen(rng, mask, rng.integers(0, 256, mask.shape).astype(np.uint8))
    count, _ = cv2.connectedComponents((rough > 127).astype(np.uint8))
    assert 0.4 * (mask > 127).sum() < (rough > 127).sum() < 1.6 * (mask > 127).sum()
    assert count < 6


def test_a_sprite_labels_only_itself(bank: NDArray[np.uint8]) -> None:
    rng = np.random.default_rng(5)
    for _ in range(20):
        sprite = sprites.make_sprite(rng, bank, textures.random_palette(rng), 90)
        assert sprite.rgb.shape == (*sprite.alpha.shape, 3)
        assert not sprite.fines[sprite.alpha == 0].any()
        assert not sprite.parts[sprite.alpha == 0].any()


def test_tiles_repeat_without_a_seam() -> None:
    tile = textures.spectral_noise(np.random.default_rng(0), 1.8).astype(int)
    across = np.abs(tile[:, 0] - tile[:, -1]).mean()
    inside = np.abs(np.diff(tile, axis=1)).mean()
    assert across < 3 * inside


def test_blending_at_the_ends_is_exact() -> None:
    under = np.full((2, 2, 3), 100, np.uint8)
    over = np.full((2, 2, 3), 200, np.uint8)
    sprites.blend(under, over, np.array([[0, 255], [0, 255]], np.uint8))
    assert under[:, 0].tolist() == [[100] * 3] * 2
    assert under[:, 1].tolist() == [[200] * 3] * 2


def test_the_store_goes_on_where_it_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bank: NDArray[np.uint8]
) -> None:
    monkeypatch.setattr(store, "CHUNK", 3)
    monkeypatch.setattr(store, "scene_bank", lambda: bank)
    render(tmp_path, 3, HELD_OUT_SEED)
    before = (tmp_path / "images-0000.npy").stat().st_mtime_ns
    render(tmp_path, 6, HELD_OUT_SEED)
    assert (tmp_path / "images-0000.npy").stat().st_mtime_ns == before
    kept = Store(tmp_path)
    assert len(kept) == 6
    wanted = render_scene(HELD_OUT_SEED + 4, bank)
    assert np.array_equal(kept[4].image, wanted.image)
    assert np.array_equal(kept[4].leaves, wanted.leaves)
    assert not list(tmp_path.glob(".*"))


def test_the_folder_is_outside_the_repository(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere")
    assert default_folder() == Path("/somewhere/maskworks/training")
