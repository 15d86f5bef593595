"""Pictures that the tests draw."""

from pathlib import Path

import numpy as np
from PIL import Image as Pillow


def disc(size: int = 60, x: float = 30, y: float = 30, radius: float = 15) -> np.ndarray:
    ys, xs = np.mgrid[0:size, 0:size]
    return np.asarray((xs - x) ** 2 + (ys - y) ** 2 <= radius**2)


def scene() -> tuple[np.ndarray, np.ndarray]:
    """A bright disc on a dark ground, and its mask."""
    mask = disc()
    image = np.where(mask[..., None], (220, 180, 60), (30, 40, 90)).astype(np.uint8)
    return image, mask


def save(path: Path, array: np.ndarray) -> Path:
    """As an image file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Pillow.fromarray(array).save(path)
    return path
