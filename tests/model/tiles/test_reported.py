"""What users of other tools reported about seams since December 2024, each tried on our merging.

| Report | What went wrong there | Test |
|---|---|---|
| obss/sahi#1416 | of duplicates with the same score, one was merged into itself and came out twice | ties |
| obss/sahi#1372 | which masks were merged depended on the order in which they were found | order |
| obss/sahi#1346 | one result took the place of smaller ones inside its box | neighbours |
| obss/sahi#1094 (closed July 2025) | an empty mask among those to be merged ended the run | empty |
| obss/sahi#1417 | memory grew with the square of the masks that crowd together | crowd |
| open-mmlab/mmdetection#12384 (by SAHI) | masks stayed in fragments, of the size of a slice | fragments |
| opengeos/segment-geospatial#379 | only the masks of the last tile were kept | every_tile |
"""

import tracemalloc
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from model.masks import rle
from model.masks.mask import Mask
from model.tiles.grid import Grid, Window
from model.tiles.merge import Merger

Mask2D = NDArray[np.bool_]
HEIGHT, WIDTH = 300, 500
GRID = Grid(HEIGHT, WIDTH, 200, 60)


def box(x0: int, y0: int, x1: int, y1: int) -> Mask2D:
    mask = np.zeros((HEIGHT, WIDTH), np.bool_)
    mask[y0:y1, x0:x1] = True
    return mask


def seen(mask: Mask2D, iou: float = 0.9) -> Mask:
    encoded = rle.encode(mask)
    return Mask(encoded, rle.bbox(encoded), rle.area(encoded), iou, 0.95, None, [0, 0, 0, 0])


def shown(objects: Sequence[Mask2D], window: Window) -> list[Mask]:
    cut = [one[window.y : window.bottom, window.x : window.right] for one in objects]
    return [seen(part) for part in cut if part.any()]


def merged(find: Callable[[Window], Sequence[Mask]], grid: Grid = GRID) -> list[str]:
    """The counts of what comes out, sorted."""
    merger = Merger(grid)
    found = [mask for row in range(grid.rows) for mask in merger.add([find(window) for window in grid.row(row)])]
    return sorted(mask.rle["counts"] for mask in [*found, *merger.finish()])


def counts(objects: Sequence[Mask2D]) -> list[str]:
    return sorted(rle.encode(one)["counts"] for one in objects)


ACROSS = box(100, 100, 400, 200)
"""In all windows, across every seam."""


def test_ties() -> None:
    objects = [ACROSS, box(20, 20, 60, 60), box(430, 230, 490, 290)]
    assert merged(lambda window: shown(objects, window)) == counts(objects)


def test_order() -> None:
    objects = [ACROSS, box(100, 210, 400, 230), box(150, 20, 260, 90)]
    assert merged(lambda window: shown(objects, window)[::-1]) == merged(lambda window: shown(objects, window))


def test_neighbours() -> None:
    """A frame, what lies in its hole, and a thin diagonal whose box covers both."""
    frame = box(120, 60, 380, 240) & ~box(160, 100, 340, 200)
    inside = [box(180, 120, 240, 180), box(260, 120, 320, 180)]
    rows, columns = np.indices((HEIGHT, WIDTH))
    diagonal = (abs(columns - rows * WIDTH / HEIGHT) < 6) & ~frame & ~inside[0] & ~inside[1]
    diagonal &= columns < 120
    objects = [frame, *inside, diagonal]
    assert merged(lambda window: shown(objects, window)) == counts(objects)


def test_empty() -> None:
    def find(window: Window) -> list[Mask]:
        return [seen(np.zeros((window.height, window.width), np.bool_)), *shown([ACROSS], window)]

    assert [found for found in merged(find) if found != rle.encode(box(0, 0, 0, 0))["counts"]] == counts([ACROSS])


def test_crowd() -> None:
    """Four times the objects take four times the memory, not sixteen."""
    peaks = []
    for side in (12, 6):
        objects = [box(x, y, x + side - 2, y + side - 2) for x in range(0, WIDTH, side) for y in range(0, HEIGHT, side)]
        tiles = {window: shown(objects, window) for row in range(GRID.rows) for window in GRID.row(row)}
        tracemalloc.start()
        found = merged(tiles.__getitem__)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert found == counts(objects)
    assert peaks[1] < 8 * peaks[0], peaks


def test_fragments() -> None:
    """A river through the whole image is one mask, and its size is that of the image."""
    columns = np.arange(WIDTH)
    middle = 150 + 90 * np.sin(columns / 60)
    river = abs(np.arange(HEIGHT)[:, None] - middle) < 12
    assert merged(lambda window: shown([river], window)) == counts([river])


def test_every_tile() -> None:
    objects = [box(x, y, x + 20, y + 20) for x in range(10, WIDTH - 20, 80) for y in range(10, HEIGHT - 20, 90)]
    assert merged(lambda window: shown(objects, window)) == counts(objects)
