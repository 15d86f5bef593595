"""The windows that `"auto"` stands for, by the model."""

from typing import Final, Literal

from model.sizes import SIZES
from model.spec import Tiling

_LEAST: Final = 1024
"""A model that takes smaller images gets windows of this size too, so that a photograph is one window."""


def tiling_of(tile: Literal["auto"] | Tiling, model: str) -> Tiling:
    if isinstance(tile, Tiling):
        return tile
    return Tiling(max(_LEAST, SIZES[model].image_size) if model in SIZES else _LEAST)
