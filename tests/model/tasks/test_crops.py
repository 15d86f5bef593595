"""Crop windows against the plain loop of the reference."""

import pytest

from model.tasks.crops import windows
from tests.model import plain


@pytest.mark.parametrize("size", [(480, 640), (33, 1000), (1, 1), (3, 5), (1500, 2250)])
@pytest.mark.parametrize("layers", [0, 1, 2, 3])
def test_windows(size: tuple[int, int], layers: int) -> None:
    expected = [(tuple(box), layer) for box, layer in plain.crop_boxes(*size, layers, 512 / 1500)]
    assert windows(*size, layers, 512 / 1500) == expected
