"""Masks cut into tiles, against the same cut of their pixels."""

import numpy as np
import pytest

from model.masks import rle, tiles
from model.masks.rle import RLE, RLEError
from model.masks.tiles import tiles_of


@pytest.mark.parametrize("characters", [1, 7, 1 << 20])
def test_tiles_are_what_a_cut_of_the_pixels_gives(characters: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tiles, "PART", characters)
    random = np.random.default_rng(0)
    for _ in range(100):
        height, width, side = (int(v) for v in random.integers(1, 40, 3))
        mask = random.random((height, width)) < random.choice([0, 0.02, 0.3, 0.9, 1])
        cut = {(x, y): mask[y : y + side, x : x + side] for x in range(0, width, side) for y in range(0, height, side)}
        found = [(tile.offset, tile.rle) for tile in tiles_of(rle.encode(mask), side)]
        assert found == [(offset, rle.encode(part)) for offset, part in cut.items() if part.any()]


def test_images_that_no_array_holds() -> None:
    side = 100_000
    inside = 2000 * side  # whole columns
    columns: RLE = {"size": [side, side], "counts": rle.compress([np.array([0, inside, side * side - inside])])[0]}
    assert sum(rle.area(tile.rle) for tile in tiles_of(columns)) == inside
    assert len({tile.offset for tile in tiles_of(columns)}) == len([*tiles_of(columns)]) == 2 * 98
    first = side * 90_000 + 99_990  # goes on for 20 pixels, in the next column
    corner: RLE = {"size": [side, side], "counts": rle.compress([np.array([first, 20, side * side - first - 20])])[0]}
    found = [(tile.offset, rle.area(tile.rle)) for tile in tiles_of(corner)]
    assert found == [((89_088, 0), 10), ((89_088, 99_328), 10)]


@pytest.mark.parametrize("counts", ["", "0", "5", "~~", "o"])
def test_counts_that_are_no_mask_of_the_size(counts: str) -> None:
    with pytest.raises(RLEError):
        list(tiles_of({"size": [2, 2], "counts": counts}))
