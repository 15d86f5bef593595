"""Which windows get a prompt, and in which coordinates."""

import pytest

from model.spec import Prompt
from model.tiles.grid import Grid
from model.tiles.prompts import MOST_PARTS, TooManyParts, prompts_of_windows

GRID = Grid(1000, 1000, 400, 100)  # three rows and columns of windows of 400, at 0, 300 and 600


def given(prompt: Prompt) -> list[tuple[int, int, Prompt]]:
    return [(w.x, w.y, one) for w, parts in prompts_of_windows(GRID, [prompt]).items() for one in parts]


def test_a_point_goes_to_the_window_in_whose_middle_it_is() -> None:
    ((x, y, prompt),) = given(Prompt(id="p", points=((360.0, 660.0),), labels=(1,)))
    assert (x, y, prompt.points, prompt.multimask) == (300, 600, ((60.0, 60.0),), True)
    assert [(x, y) for x, y, _ in given(Prompt(points=((0.0, 1000.0),), labels=(1,)))] == [(0, 600)]


def test_a_box_goes_to_one_window_that_shows_it_all_or_to_each_that_it_touches() -> None:
    ((x, y, prompt),) = given(Prompt(box=(305.0, 310.0, 385.0, 380.0)))
    assert (x, y, prompt.box) == (0, 0, (305.0, 310.0, 385.0, 380.0))
    wide = given(Prompt(box=(50.0, 20.0, 950.0, 120.0), points=((500.0, 60.0),), labels=(1,)))
    assert [(x, y, p.box) for x, y, p in wide] == [
        (0, 0, (50.0, 20.0, 400.0, 120.0)),
        (300, 0, (0.0, 20.0, 400.0, 120.0)),
        (600, 0, (0.0, 20.0, 350.0, 120.0)),
    ]
    assert [p.points for _, _, p in wide] == [(), ((200.0, 60.0),), ()]
    # It reaches 20 pixels into the last column, all of which the middle one shows.
    assert [(x, y) for x, y, _ in given(Prompt(box=(50.0, 20.0, 620.0, 120.0)))] == [(0, 0), (300, 0)]
    assert given(Prompt(box=(0.0, 0.0, 0.0, 1000.0)))[0][2].box == (0.0, 0.0, 0.0, 400.0)


def test_far_points_go_to_windows_of_their_own() -> None:
    parts = given(Prompt(points=((10.0, 10.0), (990.0, 990.0), (20.0, 20.0)), labels=(1, 1, 0)))
    assert [(x, y, p.points, p.labels, p.multimask) for x, y, p in parts] == [
        (0, 0, ((10.0, 10.0), (20.0, 20.0)), (1, 0), False),
        (600, 600, ((390.0, 390.0),), (1,), False),
    ]


def test_windows_are_not_looked_through_for_each_prompt() -> None:
    """A box over 62,500 windows took a quarter of an hour."""
    grid = Grid(12_016, 12_016, 64, 16)
    many = [Prompt(id=str(i), points=((12_000.0 - i, 5.0),), labels=(1,)) for i in range(1024)]
    assert len(grid) == 62_500 and sum(len(parts) for parts in prompts_of_windows(grid, many).values()) == 1024
    band = prompts_of_windows(grid, [Prompt(box=(0.0, 10.0, 12_016.0, 20.0))])
    assert [(w.x, w.y) for w in band] == [(48 * i, 0) for i in range(250)]


def test_prompts_may_not_fill_the_memory_of_a_worker() -> None:
    grid = Grid(12_016, 12_016, 64, 16)
    all_over = Prompt(box=(0.0, 0.0, 12_016.0, 12_016.0))
    assert len(grid) <= MOST_PARTS < 2 * len(grid)
    with pytest.raises(TooManyParts):
        prompts_of_windows(grid, [all_over] * 1024)
