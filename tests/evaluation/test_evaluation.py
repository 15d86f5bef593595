"""The evaluation: reads any label map, clicks where RITM clicks, counts as the papers count."""

import json
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import skimage
import torch
from PIL import Image as Pillow
from scipy.io import savemat

from evaluation import __main__ as command
from evaluation import ceiling, measure
from evaluation.automatic import Score, distinct, pairwise_iou, score
from evaluation.classical import felzenszwalb_regions, filled_box, flood_fill, grab_cut
from evaluation.ground_truth import GroundTruthError, Picture, pictures, read_maps
from evaluation.measure import MAX_CLICKS, Row, correlation, number_of_clicks, summary
from evaluation.predictor import Predictor
from model.weights.seeding import build
from training.clicks import Click, box_around, depth, farthest_inside, iou, next_click
from training.export import export

REGIONS = Path(__file__).parents[1] / "data" / "regions"
PHOTOGRAPHS = Path(skimage.__file__).parent / "data"


def disc(size: int = 60, x: float = 30, y: float = 30, radius: float = 15) -> np.ndarray:
    ys, xs = np.mgrid[0:size, 0:size]
    return np.asarray((xs - x) ** 2 + (ys - y) ** 2 <= radius**2)


def scene() -> tuple[np.ndarray, np.ndarray]:
    """A bright disc on a dark ground, and its mask."""
    mask = disc()
    image = np.where(mask[..., None], (220, 180, 60), (30, 40, 90)).astype(np.uint8)
    return image, mask


def test_label_maps_of_every_kind(tmp_path: Path) -> None:
    labels = np.zeros((8, 9), np.uint8)
    labels[2:5, 2:5], labels[6:, 6:] = 1, 7
    Pillow.fromarray(labels).save(tmp_path / "a.png")
    np.save(tmp_path / "a.npy", labels.astype(np.int64))
    inner = np.empty((1, 2), object)
    for k in range(2):
        inner[0, k] = {"Segmentation": labels.astype(np.uint16), "Boundaries": labels}
    savemat(tmp_path / "a.mat", {"groundTruth": inner})
    assert np.array_equal(read_maps(tmp_path / "a.png")[0], labels)
    assert np.array_equal(read_maps(tmp_path / "a.npy")[0], labels)
    found = read_maps(tmp_path / "a.mat")
    assert len(found) == 2
    assert all(np.array_equal(m, labels) for m in found)


def test_layers_belong_to_their_picture(tmp_path: Path) -> None:
    images, truth = tmp_path / "images", tmp_path / "truth"
    images.mkdir()
    truth.mkdir()
    Pillow.fromarray(np.zeros((10, 10, 3), np.uint8)).save(images / "b.jpg")
    Pillow.fromarray(np.zeros((10, 10, 3), np.uint8)).save(images / "bb.png")
    whole, speck = np.ones((10, 10), np.uint8), np.zeros((10, 10), np.uint8)
    speck[0, 0] = 3
    Pillow.fromarray(whole).save(truth / "b.1.png")
    Pillow.fromarray(speck).save(truth / "b.2.png")
    found = list(pictures(images, truth, 0.02))
    assert [p.name for p in found] == ["b"]
    assert found[0].regions.shape == (1, 10, 10)
    assert len(next(pictures(images, truth, 0.0)).regions) == 2


def test_a_map_of_another_size_is_an_error(tmp_path: Path) -> None:
    Pillow.fromarray(np.zeros((10, 10, 3), np.uint8)).save(tmp_path / "c.jpg")
    Pillow.fromarray(np.ones((5, 5), np.uint8)).save(tmp_path / "c.png")
    with pytest.raises(GroundTruthError, match="another size"):
        list(pictures(tmp_path, tmp_path, 0))


def test_a_colour_picture_is_no_label_map(tmp_path: Path) -> None:
    Pillow.fromarray(np.ones((5, 5, 3), np.uint8)).save(tmp_path / "d.png")
    with pytest.raises(GroundTruthError, match="one channel"):
        read_maps(tmp_path / "d.png")


def test_the_committed_regions_fit_their_photographs() -> None:
    found = {p.name: p.regions for p in pictures(PHOTOGRAPHS, REGIONS, 0.0)}
    assert sum(len(regions) for regions in found.values()) >= 30
    assert len(found["coins"]) == 24
    areas = found["coins"].sum((1, 2))
    assert areas.min() > 900 and areas.max() < 3500
    assert not (found["coins"].sum(0) > 1).any()
    assert {"astronaut", "chelsea", "coffee", "rocket"} <= set(found)


def test_the_click_is_farthest_from_the_boundary() -> None:
    assert farthest_inside(disc(x=20, y=35)) == (20, 35)
    edge = np.zeros((9, 30), np.bool_)
    edge[:5] = True  # touches the picture's edge, which counts as boundary
    assert farthest_inside(edge)[1] == 2
    assert depth(np.zeros((4, 4), np.bool_)).max() == 0


def test_the_next_click_goes_to_the_larger_error() -> None:
    wanted, found = disc(), disc(radius=9)
    missing = next_click(wanted, found, [])
    assert missing.foreground
    assert (wanted & ~found)[missing.y, missing.x]
    extra = next_click(disc(radius=4), disc(radius=20), [])
    assert not extra.foreground
    first = next_click(wanted, np.zeros_like(wanted), [])
    again = next_click(wanted, np.zeros_like(wanted), [first])
    assert (first.x, first.y) == (30, 30)
    assert (again.x, again.y) != (30, 30)


def test_iou_and_boxes() -> None:
    wanted = disc(radius=10)
    assert iou(wanted, wanted) == 1
    assert iou(np.zeros((3, 3), np.bool_), np.zeros((3, 3), np.bool_)) == 1
    assert iou(disc(x=10, radius=5), disc(x=50, radius=5)) == 0
    assert box_around(wanted) == (20, 20, 41, 41)


class Scripted:
    """A predictor that gets better by a click, standing in for a model: the protocol is the subject."""

    def __init__(self, radii: list[float]) -> None:
        self.radii, self.asked, self.fed = radii, 0, 0

    def ask(self, clicks: list[Click], previous: object = None, multimask: bool = True) -> SimpleNamespace:
        assert len(clicks) == self.asked + 1
        assert multimask == (self.asked == 0)
        self.fed += previous is not None
        mask = disc(radius=self.radii[min(self.asked, len(self.radii) - 1)])
        self.asked += 1
        return SimpleNamespace(masks=mask[None], scores=np.ones(1), low=torch.zeros(1, 4, 4))


def test_clicks_are_counted_until_it_is_right() -> None:
    good = Scripted([8.0, 14.0, 15.0])
    assert number_of_clicks(good, disc(radius=15)) == {"noc85": 2, "noc90": 3}  # type: ignore[arg-type]
    assert good.fed == 2
    bad = Scripted([5.0])
    assert number_of_clicks(bad, disc(radius=15)) == {"noc85": MAX_CLICKS, "noc90": MAX_CLICKS}  # type: ignore[arg-type]
    assert bad.asked == MAX_CLICKS


def test_classical_methods_find_a_plain_disc() -> None:
    image, mask = scene()
    assert iou(flood_fill(image, 30, 30)[20], mask) > 0.8
    labels = felzenszwalb_regions(image)[300]
    assert iou(labels == labels[30, 30], mask) > 0.65
    assert iou(grab_cut(image, (10, 10, 50, 50)), mask) > 0.9
    assert filled_box(image, (10, 10, 50, 50)).sum() == 1600
    assert grab_cut(image, (0, 0, 60, 60)).all()  # nothing outside to learn from: the box


def test_the_predictor_answers_in_picture_pixels() -> None:
    image = np.zeros((40, 90, 3), np.uint8)
    answer = Predictor(build("sam_tiny", seed=1), image).ask([Click(80, 30, True)])
    assert answer.masks.shape == (3, 40, 90)
    assert answer.low.shape == (3, 96, 96)
    boxed = Predictor(build("sam_tiny", seed=1), image).ask(box=(1, 2, 80, 30), multimask=False)
    assert boxed.masks.shape == (1, 40, 90)


def test_a_summary_gives_each_method_its_best_setting() -> None:
    _, mask = scene()
    picture = Picture("disc", scene()[0], mask[None])
    rows = measure.measure_picture(build("sam_tiny", seed=1), picture, interactive=False)
    found = summary(rows)
    assert found["regions"] == 1
    assert found["flood best tolerance"] == max(
        v for k, v in rows[0].ious.items() if k.startswith("flood ") and k[6:].isdigit()
    )
    assert found["oracle"] >= found["top"]
    assert "noc85" not in found


def test_correlation_is_pearsons() -> None:
    rows = [Row("a", 0.1, (0, 0), {}, (0.1, 0.2, 0.3), (0.2, 0.4, 0.6)), Row("b", 0.1, (0, 0), {}, (0.4,), (0.8,))]
    assert correlation(rows) == pytest.approx(1.0)
    flat = [Row("a", 0.1, (0, 0), {}, (0.5, 0.5), (0.2, 0.4))]
    assert correlation(flat) == 0


def test_automatic_masks_are_scored_both_ways() -> None:
    left, right, lost = disc(x=15, radius=10), disc(x=45, radius=10), disc(x=30, y=8, radius=5)
    nearly = disc(x=46, radius=10)
    nonsense = np.zeros((60, 60), np.bool_)
    nonsense[50:, :5] = True
    found = score(np.stack([left, nearly, nonsense]), np.stack([left, right, lost]), np.stack([left, right, lost]))
    assert (found.regions, found.found_50, found.found_70) == (3, 2, 2)
    assert (found.masks, found.right) == (3, 2)
    assert found.f == pytest.approx(2 / 3)
    both = found + Score(regions=1)
    assert (both.regions, both.masks) == (4, 3)
    none = score(np.zeros((0, 60, 60), np.bool_), left[None], left[None])
    assert (none.regions, none.masks, none.f) == (1, 0, 0)


def test_a_double_is_not_right() -> None:
    left, right = disc(x=15, radius=10), disc(x=45, radius=10)
    doubled = score(np.stack([left, disc(x=16, radius=10), right]), np.stack([left, right]), np.stack([left, right]))
    assert (doubled.masks, doubled.right, doubled.found_50) == (3, 2, 2)
    assert distinct(np.array([[0.9, 0.6], [0.8, 0.7]])) == 2  # the second takes what the first left
    assert distinct(np.array([[0.9, 0.4], [0.8, 0.4]])) == 1
    assert distinct(np.zeros((0, 3))) == 0


def test_pairwise_iou_is_iou() -> None:
    a, b = np.stack([disc(radius=9), disc(x=20, radius=9)]), np.stack([disc(radius=12)])
    assert pairwise_iou(a, b)[:, 0].tolist() == pytest.approx([iou(a[0], b[0]), iou(a[1], b[0])])


def test_the_command_prints_a_table_and_writes_json(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    image, mask = scene()
    images, truth = tmp_path / "images", tmp_path / "truth"
    images.mkdir()
    truth.mkdir()
    Pillow.fromarray(image).save(images / "disc.jpg")
    Pillow.fromarray(mask.astype(np.uint8)).save(truth / "disc.png")
    export(dict(build("sam_tiny", seed=1).state_dict()), tmp_path / "w.safetensors")
    folders = ["--images", str(images), "--ground-truth", str(truth)]
    more = ["--checkpoint", str(tmp_path / "w.safetensors"), "--json", str(tmp_path / "out.json")]
    monkeypatch.setattr(sys, "argv", ["evaluation", *folders, *more])
    command.main()
    printed = capsys.readouterr().out
    assert "1 click, oracle of 3" in printed and "grabcut" in printed and "NOC@85" in printed
    report = json.loads((tmp_path / "out.json").read_text())
    assert report["figures"]["regions"] == 1
    assert report["regions"][0]["clicks"]["noc90"] >= 1


def test_shares_of_cells_outline_a_small_disc_better_than_hard_cells() -> None:
    y, x = np.mgrid[0:96, 0:128]
    disc = (x - 61.3) ** 2 + (y - 40.8) ** 2 < 11**2
    hard, soft = ceiling.best(disc, 128)
    assert hard < soft
    assert soft > 0.95
    assert ceiling.shares(disc, 128).sum() * 16 == pytest.approx(disc.sum(), rel=1e-5)
