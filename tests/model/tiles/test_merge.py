"""Objects of windows become objects of the image, each once. What the windows show is cut from known objects."""

from collections.abc import Callable, Sequence
from itertools import pairwise

import numpy as np
import pytest
from numpy.typing import NDArray

from model.masks import rle
from model.masks.mask import Mask
from model.tiles.grid import Grid, Window
from model.tiles.merge import Merger, answers

Mask2D = NDArray[np.bool_]
HEIGHT, WIDTH = 700, 900
GRID = Grid(HEIGHT, WIDTH, 256, 64)
WINDOWS = [window for row in range(GRID.rows) for window in GRID.row(row)]


def ellipse(x: float, y: float, a: float, b: float) -> Mask2D:
    rows, columns = np.ogrid[:HEIGHT, :WIDTH]
    inside: Mask2D = ((columns - x) / a) ** 2 + ((rows - y) / b) ** 2 <= 1
    return inside


def box(x0: int, y0: int, x1: int, y1: int) -> Mask2D:
    mask = np.zeros((HEIGHT, WIDTH), np.bool_)
    mask[y0:y1, x0:x1] = True
    return mask


def seen(mask: Mask2D, iou: float = 0.9, points: list[list[float]] | None = None, prompt: str | None = None) -> Mask:
    encoded = rle.encode(mask)
    return Mask(encoded, rle.bbox(encoded), rle.area(encoded), iou, 0.95, points, [0, 0, 0, 0], prompt)


def cut(mask: Mask2D, window: Window) -> Mask2D:
    return mask[window.y : window.bottom, window.x : window.right]


def parts(objects: Sequence[Mask2D], window: Window) -> list[Mask]:
    """What a perfect segmenter finds in a window."""
    shown = [cut(one, window) for one in objects]
    return [seen(part, 0.5 + part.mean() / 2) for part in shown if part.any()]


def merged(find: Callable[[Window], Sequence[Mask]]) -> list[Mask]:
    merger = Merger(GRID)
    found = [mask for row in range(GRID.rows) for mask in merger.add([find(window) for window in GRID.row(row)])]
    return [*found, *merger.finish()]


def assert_same(found: Sequence[Mask], objects: Sequence[Mask2D]) -> None:
    assert sorted(mask.rle["counts"] for mask in found) == sorted(rle.encode(one)["counts"] for one in objects)
    for mask in found:
        assert (mask.bbox, mask.area) == (rle.bbox(mask.rle), rle.area(mask.rle))


def test_windows_cover_the_image_and_meet_none_but_their_neighbours() -> None:
    for height, width, size, overlap in ((700, 900, 256, 64), (257, 1, 256, 85), (40_000, 39_999, 1024, 128)):
        grid = Grid(height, width, size, overlap)
        for axis in (grid.across, grid.down):
            ends = [(axis.start(i), axis.start(i) + axis.length) for i in range(axis.count)]
            assert (ends[0][0], ends[-1][1]) == (0, axis.side)
            assert all(b[0] <= a[1] - overlap for a, b in pairwise(ends))
            assert all(c[0] >= a[1] for a, c in zip(ends, ends[2:], strict=False))
            assert axis.length <= size


def test_each_object_comes_out_once_and_whole() -> None:
    """Some lie in one window, some across a seam, some in corners of four, one across many, one around all."""
    rng = np.random.default_rng(7)
    objects = [ellipse(x + rng.uniform(0, 20), y + rng.uniform(0, 20), *rng.uniform(8, 28, 2))
               for x in range(40, WIDTH, 75) for y in range(90, HEIGHT - 40, 75)]  # fmt: skip
    snake = box(5, 10, WIDTH - 5, 30) | box(WIDTH - 30, 10, WIDTH - 5, HEIGHT - 5)
    objects = [left for one in objects if (left := one & ~snake).any()] + [snake]
    assert_same(merged(lambda window: parts(objects, window)), objects)
    assert_same(merged(lambda window: parts([box(0, 0, WIDTH, HEIGHT)], window)), [box(0, 0, WIDTH, HEIGHT)])
    assert merged(lambda _: []) == []


def test_parts_stay_apart_from_what_they_are_parts_of() -> None:
    whole, part = box(100, 100, 500, 300), box(180, 150, 330, 250)
    assert_same(merged(lambda window: parts([whole, part], window)), [whole, part])


def test_a_fragment_of_what_a_neighbour_shows_whole_is_dropped() -> None:
    """It begins in the strip of the first two columns and ends in the second. The first shows half of it twice."""
    first, second = GRID.row(0)[:2]
    strip = first.shared(second)
    thing = box(strip.x + 20, 40, strip.right + 60, 120)
    half = box(strip.x + 40, 60, strip.right, 100)

    def find(window: Window) -> list[Mask]:
        found = parts([thing], window)
        return [*found, seen(cut(half, window))] if window == first else found

    assert_same(merged(find), [thing])
    lonely = merged(lambda window: [seen(cut(half, window))] if window == first else [])
    assert len(lonely) == 1, "a cut object that no neighbour shows is kept"


def test_masks_that_end_before_the_edge_of_their_window_are_joined_too() -> None:
    thing = ellipse(450, 350, 300, 200)

    def find(window: Window) -> list[Mask]:
        part = cut(thing, window).copy()
        part[:2], part[-2:], part[:, :2], part[:, -2:] = False, False, False, False
        return [seen(part)] if part.any() else []

    (found,) = merged(find)
    assert np.logical_xor(rle.decode(found.rle), thing).sum() == 0


def test_the_measures_of_a_united_mask() -> None:
    """Scores are weighted by area; the point is that of the largest piece; the crop is around the windows."""
    first, second = GRID.row(0)[:2]
    thing = box(10, 10, second.right - 10, 20)
    scores = {first: (0.8, [[5.0, 6.0]]), second: (1.0, [[7.0, 8.0]])}
    found = merged(lambda w: [seen(cut(thing, w), *scores[w])] if w in scores else [])
    areas = [int(cut(thing, window).sum()) for window in (first, second)]
    (mask,) = found
    assert mask.predicted_iou == pytest.approx((0.8 * areas[0] + 1.0 * areas[1]) / sum(areas))
    largest = first if areas[0] >= areas[1] else second
    assert mask.point_coords == [[scores[largest][1][0][0] + largest.x, scores[largest][1][0][1] + largest.y]]
    assert mask.crop_box == list(first.around(second))


def test_a_row_that_is_missing_is_noticed() -> None:
    with pytest.raises(ValueError, match="0 of 4 rows"):
        list(Merger(GRID).finish())


def test_a_mask_of_more_pixels_than_fit_into_32_bits() -> None:
    """Runs only: an image of 100,000 x 100,000 pixels would take 10 GB as a canvas."""
    side = 100_000
    grid = Grid(side, side, 50_064, 64)
    full = {"size": [grid.down.length, grid.across.length], "counts": rle.compress([np.array([0, 50_032**2])])[0]}
    tile = Mask(full, [0, 0, 50_032, 50_032], 50_032**2, 0.9, 0.9, None, [0, 0, 0, 0])  # type: ignore[arg-type]
    merger = Merger(grid)
    found = [mask for _ in range(2) for mask in merger.add([[tile], [tile]])] + [*merger.finish()]
    assert [(mask.area, mask.bbox, mask.crop_box) for mask in found] == [
        (side**2, [0, 0, side, side], [0, 0, side, side])
    ]
    assert rle.decompress(found[0].rle["counts"]).tolist() == [0, side**2]


def test_answers_to_one_prompt_are_one_mask() -> None:
    first, second = GRID.row(0)[:2]
    thing = box(10, 10, second.right - 10, 60)
    tiles = [(w, [seen(cut(thing, w), prompt="wide")]) for w in (first, second)]
    tiles[0][1].extend(seen(cut(box(20, 20, 30 + i, 30), first), prompt="point") for i in range(3))
    found = answers(GRID, {"point": 3, "wide": 1}, tiles)
    assert [mask.prompt_id for mask in found] == ["point", "point", "point", "wide"]
    assert [mask.area for mask in found] == [100, 110, 120, int(thing.sum())]
