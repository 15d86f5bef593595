"""The evaluation: clicks where RITM clicks, and compares with classical methods and known regions."""

from pathlib import Path

import numpy as np
import pytest
import skimage

from evaluation import ceiling
from evaluation.automatic import Score, distinct, pairwise_iou, score
from evaluation.classical import felzenszwalb_regions, filled_box, flood_fill, grab_cut
from evaluation.data.label_maps import pictures
from evaluation.data.picture import Picture
from evaluation.predictor import Predictor
from evaluation.tasks.classical import Row, correlation, measure_picture, summary
from model.backends.sam import Segmenter
from tests.evaluation.drawn import disc, scene
from training.clicks import Click, box_around, depth, farthest_inside, iou, next_click

REGIONS = Path(__file__).parents[1] / "data" / "regions"
PHOTOGRAPHS = Path(skimage.__file__).parent / "data"


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


def test_classical_methods_find_a_plain_disc() -> None:
    image, mask = scene()
    assert iou(flood_fill(image, 30, 30)[20], mask) > 0.8
    labels = felzenszwalb_regions(image)[300]
    assert iou(labels == labels[30, 30], mask) > 0.65
    assert iou(grab_cut(image, (10, 10, 50, 50)), mask) > 0.9
    assert filled_box(image, (10, 10, 50, 50)).sum() == 1600
    assert grab_cut(image, (0, 0, 60, 60)).all()  # nothing outside to learn from: the box


def test_the_predictor_answers_in_picture_pixels(segmenter: Segmenter) -> None:
    image = np.zeros((40, 90, 3), np.uint8)
    answer = Predictor(segmenter, image).ask([Click(80, 30, True)])
    assert answer.masks.shape == (3, 40, 90)
    assert answer.low.shape == (3, 96, 96)
    boxed = Predictor(segmenter, image).ask(box=(1, 2, 80, 30), multimask=False)
    assert boxed.masks.shape == (1, 40, 90)


def test_a_summary_gives_each_method_its_best_setting(segmenter: Segmenter) -> None:
    _, mask = scene()
    picture = Picture("disc", scene()[0], mask[None])
    rows = measure_picture(segmenter, picture)
    found = summary(rows)
    assert found["regions"] == 1
    assert found["flood best tolerance"] == max(
        v for k, v in rows[0].ious.items() if k.startswith("flood ") and k[6:].isdigit()
    )
    assert found["oracle"] >= found["top"]


def test_correlation_is_pearsons() -> None:
    rows = [Row(0, (0, 0), {}, (0.1, 0.2, 0.3), (0.2, 0.4, 0.6)), Row(1, (0, 0), {}, (0.4,), (0.8,))]
    assert correlation(rows) == pytest.approx(1.0)
    flat = [Row(0, (0, 0), {}, (0.5, 0.5), (0.2, 0.4))]
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


def test_shares_of_cells_outline_a_small_disc_better_than_hard_cells() -> None:
    y, x = np.mgrid[0:96, 0:128]
    disc = (x - 61.3) ** 2 + (y - 40.8) ** 2 < 11**2
    hard, soft = ceiling.best(disc, 128)
    assert hard < soft
    assert soft > 0.95
    assert ceiling.shares(disc, 128).sum() * 16 == pytest.approx(disc.sum(), rel=1e-5)
