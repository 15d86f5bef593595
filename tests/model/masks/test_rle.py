"""Run-length encoding against pycocotools, byte for byte."""

import numpy as np
import pytest
from pycocotools import mask as coco

from model.masks import rle
from model.masks.rle import RLEError


def cases() -> list[np.ndarray]:
    random = np.random.default_rng(0)
    shapes = [(1, 1), (1, 7), (7, 1), (2, 2), (5, 9), (64, 64), (33, 70), (480, 640), (3, 2000), (2000, 3)]
    masks = []
    for height, width in shapes:
        masks += [np.zeros((height, width), bool), np.ones((height, width), bool)]
        for density in (0.01, 0.5, 0.97):
            masks.append(random.random((height, width)) < density)
        blob = np.zeros((height, width), bool)
        blob[height // 3 : height // 2 + 1, width // 4 : width // 2 + 1] = True
        masks += [blob, ~blob]
        stripes = np.zeros((height, width), bool)
        stripes[:, ::2] = True
        masks.append(stripes)
    return masks


@pytest.mark.parametrize("mask", cases(), ids=lambda m: f"{m.shape}-{m.sum()}")
def test_equals_pycocotools(mask: np.ndarray) -> None:
    theirs = coco.encode(np.asfortranarray(mask.astype(np.uint8)))
    ours = rle.encode(mask)
    assert ours == {"size": list(mask.shape), "counts": theirs["counts"].decode()}
    assert (rle.decode(ours) == mask).all()
    assert rle.area(ours) == int(coco.area(theirs)) == int(mask.sum())
    assert rle.bbox(ours) == [int(v) for v in coco.toBbox(theirs)]


def test_non_contiguous_masks() -> None:
    mask = (np.random.default_rng(1).random((40, 50)) < 0.5)[::-1].T
    assert (rle.decode(rle.encode(mask)) == mask).all()


def test_many_at_once_equals_one_by_one() -> None:
    masks = cases()
    assert rle.compress([rle.runs(m) for m in masks]) == [rle.encode(m)["counts"] for m in masks]
    assert rle.compress([]) == []


def test_large_runs() -> None:
    lengths = np.asarray([2**31 + 5, 3, 1, 2**33, 0, 7])
    assert (rle.decompress(rle.compress([lengths])[0]) == lengths).all()


@pytest.mark.parametrize("counts", ["~", "P", "\x7f", "é", "0" * 3 + "P"])
def test_foreign_counts_are_refused(counts: str) -> None:
    with pytest.raises(RLEError):
        rle.decode({"size": [2, 2], "counts": counts})


@pytest.mark.parametrize("lengths", [[3], [5], [], [6, -2]])
def test_counts_must_add_up(lengths: list[int]) -> None:
    with pytest.raises(RLEError):
        rle.decode({"size": [2, 2], "counts": rle.compress([np.asarray(lengths, dtype=np.int64)])[0]})


def test_runs_placed_in_the_image() -> None:
    random = np.random.default_rng(2)
    for corner in [(0, 0), (3, 0), (0, 4), (5, 6)]:
        for height in (10, 14):
            image = np.zeros((20, 30), bool)
            crop = random.random((height, 12)) < 0.6
            x0, y0 = corner
            image[y0 : y0 + height, x0 : x0 + 12] = crop
            lengths = rle.placed(rle.runs(crop), crop.shape, corner, image.shape)
            assert lengths.tolist() == rle.runs(image).tolist()
    tall = random.random((20, 5)) < 0.5
    image = np.concatenate([np.zeros((20, 7), bool), tall], 1)
    assert rle.placed(rle.runs(tall), (20, 5), (7, 0), (20, 12)).tolist() == rle.runs(image).tolist()
