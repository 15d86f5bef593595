"""Crop windows and point grids of automatic masks (reference behaviour). numpy only."""

from dataclasses import dataclass
from itertools import product
from math import ceil

import numpy as np
from numpy.typing import NDArray

from model.masks.frames import Frame, frame_of
from model.tasks.parameters import Parameters

Window = tuple[int, int, int, int]


@dataclass(frozen=True)
class Crop:
    """One window of the image, and the layer whose grid it uses."""

    frame: Frame
    layer: int


def crops(image: tuple[int, int], parameters: Parameters, side: int, stretched: bool = False) -> tuple[Crop, ...]:
    """The crops of an image of (H, W), whole image first."""
    found = windows(*image, parameters.crop_n_layers, parameters.crop_overlap_ratio)
    return tuple(Crop(frame_of(image, window, side, stretched), layer) for window, layer in found)


def windows(height: int, width: int, layers: int, overlap_ratio: float) -> list[tuple[Window, int]]:
    """(x0, y0, x1, y1), layer: the whole image, then 2^i x 2^i overlapping windows for each layer i ≥ 1.

    Windows without a pixel, in tiny images, are left out.
    """
    found = [((0, 0, width, height), 0)]
    for layer in range(1, layers + 1):
        per_side = 2**layer
        overlap = int(overlap_ratio * min(height, width) * (2 / per_side))
        wide, tall = _length(width, per_side, overlap), _length(height, per_side, overlap)
        for i, j in product(range(per_side), range(per_side)):
            x0, y0 = (wide - overlap) * i, (tall - overlap) * j
            x1, y1 = min(x0 + wide, width), min(y0 + tall, height)
            if x1 > x0 and y1 > y0:
                found.append(((x0, y0, x1, y1), layer))
    return found


def _length(side: int, count: int, overlap: int) -> int:
    return ceil((overlap * (count - 1) + side) / count)


def grid(parameters: Parameters, layer: int) -> NDArray[np.float64]:
    """float64 (N, 2) xy in [0, 1], x fastest, for windows of `layer`. N may be 0."""
    if parameters.point_grids is not None:
        rows = parameters.point_grids[layer] if layer < len(parameters.point_grids) else ()
        return np.asarray(rows, dtype=np.float64).reshape(-1, 2)
    return square(int(parameters.points_per_side / parameters.crop_n_points_downscale_factor**layer))


def square(side: int) -> NDArray[np.float64]:
    """float64 (side x side, 2) xy in [0, 1], x fastest: the middles of equal cells."""
    steps = (np.arange(side) + 0.5) / max(side, 1)
    return np.stack(np.meshgrid(steps, steps), axis=-1).reshape(-1, 2)


def near_inner_edge(boxes: NDArray[np.int64], window: Window, height: int, width: int) -> NDArray[np.bool_]:
    """(N, 4) boxes in image pixels → (N,): whether within 20 px of a window's edge that is no edge of the image.

    The window cuts such masks off. Another window sees them whole.
    """
    at_window = np.abs(boxes - np.asarray(window)) <= 20
    at_image = np.abs(boxes - np.asarray([0, 0, width, height])) <= 20
    cut: NDArray[np.bool_] = (at_window & ~at_image).any(axis=1)
    return cut
