"""Outlines of masks: filled again they are the mask, whatever its holes, islands and touching corners."""

import numpy as np
import pytest

from model.masks.outlines import Polygon, Ring, TooManyCorners, polygons
from model.masks.rle import RLEError, decode, encode


def area(ring: Ring) -> float:
    x, y = ring[:, 0], ring[:, 1]
    return float(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1))) / 2


def filled(found: list[Polygon], height: int, width: int) -> np.ndarray[tuple[int, int], np.dtype[np.int64]]:
    """How many polygons each pixel is inside of, by the even-odd rule."""
    total = np.zeros((height, width), np.int64)
    for polygon in found:
        crossed = np.zeros((height, width + 1), np.int64)
        for ring in polygon:
            for (x, y), (to_x, to_y) in zip(ring, np.roll(ring, -1, axis=0), strict=True):
                assert (x == to_x) != (y == to_y)  # edges run along the grid
                if x == to_x:
                    crossed[min(y, to_y) : max(y, to_y), x] += 1
        total += np.cumsum(crossed, axis=1)[:, :width] % 2
    return total


@pytest.mark.parametrize("seed", range(8))
def test_filled_again_they_are_the_mask(seed: int) -> None:
    random = np.random.default_rng(seed)
    for _ in range(150):
        height, width = random.integers(1, 14, 2)
        mask = random.random((height, width)) < random.random()
        found = polygons([encode(mask)])[0]
        assert np.array_equal(filled(found, height, width), mask)
        for outer, *holes in found:
            assert area(outer) > 0 and all(area(hole) < 0 for hole in holes)
        assert sum(area(ring) for polygon in found for ring in polygon) == mask.sum()


def test_a_square() -> None:
    mask = np.zeros((5, 6), np.bool_)
    mask[1:3, 2:5] = True
    ((ring,),) = polygons([encode(mask)])[0]
    assert {tuple(corner) for corner in ring.tolist()} == {(2, 1), (5, 1), (5, 3), (2, 3)} and len(ring) == 4


def test_pixels_that_touch_at_a_corner_are_two_polygons() -> None:
    for mask in ([[1, 0], [0, 1]], [[0, 1], [1, 0]]):
        assert [len(polygon) for polygon in polygons([encode(np.array(mask, np.bool_))])[0]] == [1, 1]


def test_an_island_in_a_hole_is_a_polygon_of_its_own() -> None:
    mask = np.ones((7, 7), np.bool_)
    mask[1:6, 1:6] = False
    mask[3, 3] = True
    found = polygons([encode(mask)])[0]
    assert sorted(len(polygon) for polygon in found) == [1, 2]
    assert sorted(area(polygon[0]) for polygon in found) == [1, 49]


def test_nothing_and_everything() -> None:
    assert polygons([encode(np.zeros((3, 4), np.bool_))]) == [[]]
    ((ring,),) = polygons([encode(np.ones((3, 4), np.bool_))])[0]
    assert area(ring) == 12 and len(ring) == 4


def test_a_run_that_goes_on_in_the_next_column() -> None:
    """COCO counts column by column, so one run may cover the end of a column and the beginning of the next."""
    mask = np.array([[0, 1], [1, 0]], np.bool_)
    assert np.array_equal(filled(polygons([encode(mask)])[0], 2, 2), mask)


def test_runs_without_a_gap_do_not_cut_the_outline() -> None:
    rle = encode(np.ones((4, 1), np.bool_))
    touching = {"size": [4, 1], "counts": "0200"}  # 0 background, 2 foreground, 0 background, 2 foreground
    assert np.array_equal(decode(touching), decode(rle))  # type: ignore[arg-type]
    ((ring,),) = polygons([touching])[0]  # type: ignore[list-item]
    assert len(ring) == 4


def test_wrong_counts_are_refused() -> None:
    with pytest.raises(RLEError):
        polygons([{"size": [2, 2], "counts": "9"}])


def test_masks_of_an_image_do_not_meet() -> None:
    random = np.random.default_rng(0)
    masks = [random.random((9, 7)) < share for share in (0.0, 0.5, 1.0, 0.9, 0.3, 1.0)]
    found = polygons([encode(mask) for mask in masks])
    assert [np.array_equal(filled(each, 9, 7), mask) for each, mask in zip(found, masks, strict=True)] == [True] * 6
    assert polygons([]) == []


def test_a_mask_of_noise_takes_no_square_of_its_holes() -> None:
    """22,000 rings: an image may be made to give such masks, and an export must not stand still."""
    mask = np.random.default_rng(0).random((600, 600)) < 0.5
    (found,) = polygons([encode(mask)])
    assert sum(len(polygon) for polygon in found) > 20_000
    corners = np.concatenate([ring for polygon in found for ring in polygon])
    after = np.concatenate([np.roll(ring, -1, axis=0) for polygon in found for ring in polygon])
    twice = corners[:, 0] * after[:, 1] - after[:, 0] * corners[:, 1]
    assert twice.sum() == 2 * mask.sum()


def test_more_corners_than_asked_for_are_refused() -> None:
    mask = np.zeros((5, 6), np.bool_)
    mask[1:3, 2:5] = True
    assert polygons([encode(mask)], most=4)
    for most in (3, 1):  # 1: the counts alone are too long
        with pytest.raises(TooManyCorners):
            polygons([encode(mask)], most)
