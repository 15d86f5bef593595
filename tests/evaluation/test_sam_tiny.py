"""The shipped weights: the file is the one on record, and its masks on photographs are as good as its card says."""

from pathlib import Path

import numpy as np
import pytest
import skimage

from evaluation.automatic import masks_of, pairwise_iou
from evaluation.data.label_maps import pictures
from evaluation.data.picture import Picture
from evaluation.tasks.classical import correlation, measure_picture
from model.backends.sam import Segmenter
from model.sizes import size
from model.spec import Automatic
from model.weights.files import BUNDLED, verify

REGIONS = Path(__file__).parents[1] / "data" / "regions"
PHOTOGRAPHS = Path(skimage.__file__).parent / "data"


@pytest.fixture(scope="module")
def drawn() -> dict[str, Picture]:
    return {p.name: p for p in pictures(PHOTOGRAPHS, REGIONS, 0.005)}


def test_the_file_is_the_one_on_record() -> None:
    row = size("sam_tiny")
    path = BUNDLED / "sam_tiny.safetensors"
    assert row.sha256 is not None
    assert verify(row, path) == row.sha256
    assert row.sha256 in (BUNDLED / "sam_tiny.md").read_text()
    assert path.stat().st_size == row.size_bytes
    assert path.stat().st_size <= 16 << 20


def test_automatic_mode_finds_the_coins_and_little_else(drawn: dict[str, Picture], segmenter: Segmenter) -> None:
    coins = drawn["coins"]
    found = masks_of(segmenter, coins.image, Automatic())
    best = pairwise_iou(coins.regions, found).max(1)
    assert (best >= 0.7).sum() >= 21  # 24 when its defaults were set
    assert len(found) <= 30  # 25: each coin once, and the ground


def test_automatic_mode_outlines_the_cup(drawn: dict[str, Picture], segmenter: Segmenter) -> None:
    coffee = drawn["coffee"]
    found = masks_of(segmenter, coffee.image, Automatic())
    cup = pairwise_iou(coffee.regions, found)[1]
    assert cup.max() >= 0.65  # .72; .58 with a crop_nms_thresh of .7
    assert len(found) <= 12  # 9


def test_the_cat_is_found_with_much_of_what_is_behind_it(drawn: dict[str, Picture], segmenter: Segmenter) -> None:
    chelsea = drawn["chelsea"]
    cat = pairwise_iou(chelsea.regions, masks_of(segmenter, chelsea.image, Automatic()))[0]
    assert cat.max() >= 0.65  # .69: the card says why not the .80 that one candidate has


def test_clicks_and_boxes_find_what_people_drew(drawn: dict[str, Picture], segmenter: Segmenter) -> None:
    rows = [row for p in drawn.values() for row in measure_picture(segmenter, p, classical=False)]
    mean = {name: float(np.mean([row.ious[name] for row in rows])) for name in ("top", "oracle", "box")}
    assert mean["top"] > 0.62  # .654 when it shipped; flood fill at its best tolerance .521
    assert mean["oracle"] > 0.7008  # .729; Felzenszwalb's best of three .7008
    assert mean["box"] > 0.78  # .807; GrabCut .807, the filled box .726
    assert correlation(rows) > 0.6  # .72
