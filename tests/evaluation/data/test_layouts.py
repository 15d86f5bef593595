"""The folders of GrabCut, Berkeley, SBD, DAVIS and BSDS500, as they are distributed."""

from pathlib import Path

import numpy as np
import pytest
from scipy.io import savemat

from evaluation.data.picture import Picture
from evaluation.data.table import FORMATS, Place
from tests.evaluation.drawn import disc, save

BLANK = np.zeros((40, 40, 3), np.uint8)
FIRST, SECOND = disc(40, 12, 14, 8), disc(40, 28, 25, 6)


def one(form: str, root: Path, split: str | None = None) -> Picture:
    (sample,) = FORMATS[form](Place(root, split=split)).samples
    found = sample.read()
    assert sample.name.endswith(found.name)
    return found


@pytest.mark.parametrize(
    ("form", "images", "masks"), [("grabcut", "data_GT", "boundary_GT"), ("berkeley", "images", "masks")]
)
def test_one_object_and_a_band_that_is_not_counted(tmp_path: Path, form: str, images: str, masks: str) -> None:
    values = np.where(FIRST, 255, np.where(disc(40, 12, 14, 10), 128, 64)).astype(np.uint8)
    save(tmp_path / images / "cow.jpg", BLANK)
    save(tmp_path / masks / "cow.bmp", values)
    found = one(form, tmp_path)
    assert np.array_equal(found.regions, FIRST[None])
    assert found.ignored is not None and np.array_equal(found.ignored, values == 128)


def test_sbd_lists_its_pictures(tmp_path: Path) -> None:
    for name in ("in", "out"):
        save(tmp_path / "img" / f"{name}.jpg", BLANK)
    (tmp_path / "inst").mkdir()
    labels = (FIRST + 2 * SECOND).astype(np.uint8)
    cells = np.empty((2, 1), object)
    cells[:] = [[FIRST], [SECOND]]  # boundaries, which are no regions
    truth = {"Segmentation": labels, "Boundaries": cells, "Categories": np.array([[1], [2]], np.uint8)}
    savemat(tmp_path / "inst" / "in.mat", {"GTinst": truth})
    (tmp_path / "val.txt").write_text("in\n")
    assert np.array_equal(one("sbd", tmp_path).regions, np.stack([FIRST, SECOND]))


@pytest.mark.parametrize("full", [False, True])
def test_a_frame_of_davis_is_one_object(tmp_path: Path, full: bool) -> None:
    images, truth = ("JPEGImages/480p/bear", "Annotations/480p/bear") if full else ("img", "gt")
    save(tmp_path / images / "00001.jpg", BLANK)
    colours = np.where(FIRST[..., None], (128, 0, 0), np.where(SECOND[..., None], (0, 128, 0), 0)).astype(np.uint8)
    save(tmp_path / truth / "00001.png", colours)
    assert np.array_equal(one("davis", tmp_path).regions, (FIRST | SECOND)[None])


def test_bsds_has_regions_and_boundaries_of_several_people(tmp_path: Path) -> None:
    data = tmp_path / "BSDS500" / "data"
    save(data / "images" / "test" / "100.jpg", BLANK)
    (data / "groundTruth" / "test").mkdir(parents=True)
    people = np.empty((1, 2), object)
    people[0, :] = [
        {"Segmentation": (FIRST + 1).astype(np.uint16), "Boundaries": FIRST.astype(np.uint8)},
        {"Segmentation": (SECOND + 1).astype(np.uint16), "Boundaries": SECOND.astype(np.uint8)},
    ]
    savemat(data / "groundTruth" / "test" / "100.mat", {"groundTruth": people})
    found = one("bsds", tmp_path)
    assert np.array_equal(found.boundaries, np.stack([FIRST, SECOND]))
    assert np.array_equal(found.regions, np.stack([~FIRST, FIRST, ~SECOND, SECOND]))


def test_boundaries_of_regions_are_their_outlines() -> None:
    square = np.zeros((9, 9), np.bool_)
    square[2:7, 2:7] = True
    inner = np.zeros_like(square)
    inner[3:6, 3:6] = True
    assert np.array_equal(Picture("a", BLANK[:9, :9], square[None]).boundaries, (square & ~inner)[None])
