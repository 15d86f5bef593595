"""Masks drawn over a picture."""

import numpy as np

from model.masks.rle import encode
from workers.images.drawing import draw


def test_masks_are_blended_and_outlined_the_smaller_on_top() -> None:
    canvas = np.full((20, 30, 3), 100, np.uint8)
    small, large = np.zeros((20, 30), np.bool_), np.zeros((20, 30), np.bool_)
    large[:12, :15] = True  # at the edge of the picture, which is no outline
    small[4:9, 4:9] = True
    draw(canvas, [encode(small), encode(large), encode(np.zeros((20, 30), np.bool_))])
    assert (canvas[~large] == 100).all()
    outline, inside, on_top = canvas[11, 3], canvas[0, 0], canvas[6, 6]
    assert (canvas[5, 14] == outline).all() and not (canvas[0, 5] == outline).all()
    assert (inside == np.round(100 * 0.55 + outline * 0.45)).all()
    assert (on_top == np.round(inside * 0.55 + canvas[4, 4] * 0.45)).all()
    assert not (canvas[4, 4] == outline).all()
