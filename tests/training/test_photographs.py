"""Photographed things in scenes: what counts as one, and exact masks of them."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from training.photographs import Photographs, is_photograph
from training.prompts import FOREGROUND, View, draw_prompts, make_batch
from training.scenes import NOWHERE, SIDE, Scene, render_scene
from training.store import Store, add_scenes
from training.textures import make_bank


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two photographed things, a drawing, a picture without alpha, and a ground."""
    made = tmp_path_factory.mktemp("photographs")
    (made / "things").mkdir()
    (made / "grounds").mkdir()
    rng = np.random.default_rng(0)
    for name in ("disc", "other"):
        cv2.imwrite(str(made / "things" / f"{name}.png"), _thing(rng))
    flat = _thing(rng)
    flat[..., :3] = 40
    cv2.imwrite(str(made / "things" / "drawing.png"), flat)
    cv2.imwrite(str(made / "things" / "no-alpha.png"), _thing(rng)[..., :3])
    cv2.imwrite(str(made / "grounds" / "noise.jpg"), rng.integers(0, 255, (300, 500, 3), np.uint8))
    (made / "grounds" / "licence.txt").write_text("not a picture")
    return made


def _thing(rng: np.random.Generator) -> NDArray[np.uint8]:
    """A disc of noise, (120, 160, 4) BGRA."""
    image = rng.integers(0, 255, (120, 160, 4), np.uint8)
    image[..., 3] = 0
    y, x = np.mgrid[:120, :160]
    inside = (y - 60) ** 2 + (x - 80) ** 2 < 50**2
    image[inside, :3] = rng.integers(0, 255, (int(inside.sum()), 3))
    image[inside, 3] = 255
    return image


@pytest.fixture(scope="module")
def photographs(folder: Path) -> Photographs:
    return Photographs.of(folder / "things", [folder / "grounds"])


@pytest.fixture(scope="module")
def scenes(photographs: Photographs) -> list[Scene]:
    bank = make_bank(np.random.default_rng(1), tiles=16)
    return [render_scene(seed, bank, photographs) for seed in range(8)]


def test_only_photographed_things_are_found(photographs: Photographs) -> None:
    assert [path.stem for path in photographs.things] == ["disc", "other"]
    assert [path.stem for path in photographs.grounds] == ["noise"]
    assert not is_photograph(np.full((50, 50, 4), 255, np.uint8)), "fills its picture"


def test_a_folder_without_things_is_an_error(folder: Path) -> None:
    with pytest.raises(FileNotFoundError, match="grounds has no PNG with a photographed thing"):
        Photographs.of(folder / "grounds")


@pytest.mark.parametrize("size", [12.0, 60.0, 300.0])
def test_a_thing_has_about_the_size_that_is_asked_for(photographs: Photographs, size: float) -> None:
    for seed in range(5):
        sprite = photographs.thing(np.random.default_rng(seed), size)
        share = np.pi * 50**2 / (120 * 160)
        assert (sprite.alpha > 127).sum() == pytest.approx(share * size**2, rel=0.15)
        assert sprite.rgb.shape == (*sprite.alpha.shape, 3)
        assert not sprite.parts.any() and not sprite.fines.any()


def test_grounds_are_optional(folder: Path) -> None:
    assert Photographs.of(folder / "things").ground(np.random.default_rng(0), 64) is None


def test_scenes_stand_on_photographs_which_belong_to_nothing(scenes: list[Scene]) -> None:
    shares = [(scene.leaves == NOWHERE).mean() for scene in scenes]
    assert 0.2 < np.mean([share > 0 for share in shares]) < 1
    for scene in scenes:
        assert scene.image.shape == (SIDE, SIDE, 3)
        known = np.unique(scene.leaves[scene.leaves != NOWHERE])
        assert (scene.table[known, 0] > 0).all()
        assert not scene.table[NOWHERE].any()


def test_the_same_seed_gives_the_same_scene(scenes: list[Scene], photographs: Photographs) -> None:
    again = render_scene(3, make_bank(np.random.default_rng(1), tiles=16), photographs)
    assert np.array_equal(again.image, scenes[3].image) and np.array_equal(again.leaves, scenes[3].leaves)


def test_a_window_without_masks_asks_nothing() -> None:
    nowhere = np.full((64, 64), NOWHERE, np.uint8)
    view = View(np.zeros((64, 64, 3), np.uint8), (64, 64), nowhere, np.zeros((256, 4), np.uint8))
    _, kinds, members, _ = draw_prompts(np.random.default_rng(0), view, 5)
    assert (kinds[:, 0] == FOREGROUND).all() and not members.any()


def test_batches_of_such_scenes_have_right_answers(scenes: list[Scene], tmp_path: Path) -> None:
    add_scenes(tmp_path, scenes)
    batch = make_batch(np.random.default_rng(0), Store(tmp_path), 4, 12, 128, (0, 0, 0), (1, 1, 1))
    assert batch.valid.any(-1).float().mean() > 0.5
