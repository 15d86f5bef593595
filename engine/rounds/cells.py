"""Drawn micrographs: cells with a faint rim and a dark kernel. The shipped weights never saw such pictures.

A click in the middle of a cell lands on its kernel, which is the sharper thing. Wanted is the whole cell. So this is a
family in which accepted masks say something that the weights do not know.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

from training.clicks import Mask
from training.textures import Floats, Image

SIDE = 448  # px
CELLS = 10  # at most, of a picture
RADIUS = (24.0, 58.0)  # px
KERNEL = (0.3, 0.5)  # of the cell's radius
TRIES = 60


def draw_cells(seed: int) -> tuple[Image, list[Mask]]:
    """The picture of this seed, and the mask of each cell. Cells may touch, and hardly overlap."""
    rng = np.random.default_rng(seed)
    tint = rng.uniform((150, 90, 140), (235, 200, 235))  # of the stain
    image = np.asarray(235 + _noise(rng, 40, 6.0) + _noise(rng, 3, 4.0), np.float32)[..., None] * np.ones(3, np.float32)
    taken = np.zeros((SIDE, SIDE), np.bool_)
    masks: list[Mask] = []
    for _ in range(TRIES):
        cell, kernel = _shapes(rng)
        if (cell & taken).sum() > 0.02 * cell.sum() or len(masks) == CELLS:
            continue
        cell &= ~taken
        taken |= cell
        masks.append(cell)
        image = _stained(rng, image, cell, kernel, tint.astype(np.float32))
    blurred = cv2.GaussianBlur(image, (0, 0), float(rng.uniform(0.6, 1.3)))
    noisy = blurred + rng.normal(0, rng.uniform(2, 6), blurred.shape)
    return np.asarray(np.clip(noisy, 0, 255), np.uint8), masks


def _noise(rng: np.random.Generator, grain: float, strength: float) -> Floats:
    """Smooth noise, `grain` px wide."""
    small = rng.normal(0, strength, (max(2, round(SIDE / grain)),) * 2).astype(np.float32)
    return np.asarray(cv2.resize(small, (SIDE, SIDE), interpolation=cv2.INTER_CUBIC), np.float32)


def _shapes(rng: np.random.Generator) -> tuple[Mask, Mask]:
    """A cell and its kernel, which lies off the middle."""
    radius, centre = float(rng.uniform(*RADIUS)), rng.uniform(20, SIDE - 20, 2)
    kernel = radius * float(rng.uniform(*KERNEL))
    off = centre + rng.uniform(-0.3, 0.3, 2) * radius
    return _blob(rng, centre, radius, 0.16), _blob(rng, off, kernel, 0.08)


def _blob(rng: np.random.Generator, centre: NDArray[np.float64], radius: float, rough: float) -> Mask:
    """A closed curve of a few waves around a point."""
    angle = np.linspace(0, 2 * np.pi, 90, endpoint=False)
    waves = sum(rng.normal(0, rough / k) * np.cos(k * angle + rng.uniform(0, 6.3)) for k in range(2, 6))
    reach = radius * np.clip(1 + waves, 0.5, 1.6)
    curve = centre + reach[:, None] * np.stack([np.cos(angle), np.sin(angle)], 1)
    mask = np.zeros((SIDE, SIDE), np.uint8)
    cv2.fillPoly(mask, [np.round(curve).astype(np.int32)], 1)
    return mask.astype(np.bool_)


def _stained(rng: np.random.Generator, image: Floats, cell: Mask, kernel: Mask, tint: Floats) -> Floats:
    """A cell is a little darker than the ground, and grainy; its kernel is dark."""
    faint, dark = float(rng.uniform(0.25, 0.5)), float(rng.uniform(0.45, 0.75))
    body = image * (1 - faint) + tint * faint + _noise(rng, 5, 7.0)[..., None]
    soft = cv2.GaussianBlur(cell.astype(np.float32), (0, 0), 1.2)[..., None]
    image = image * (1 - soft) + body * soft
    core = tint * (1 - dark) + _noise(rng, 4, 8.0)[..., None]
    soft = cv2.GaussianBlur((kernel & cell).astype(np.float32), (0, 0), 1.0)[..., None]
    return np.asarray(image * (1 - soft) + core * soft, np.float32)
