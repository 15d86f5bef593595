"""Things that were photographed, cut out of their pictures, and photographs of grounds, for scenes.

A cut-out is a PNG whose alpha channel is the thing's mask. So scenes show real fur, leaves and metal, and their masks
are still exact. A cut-out has no parts. A photographed ground belongs to nothing: what lies in it has no mask.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from training.sprites import Sprite
from training.textures import Image

GROUND_SUFFIXES = {".jpg", ".jpeg", ".png"}
LEAST_COLOURS = 250
"""Colours of a photograph, at five bits a channel. Flat drawings have fewer, shaded ones may have as many."""
LEAST_PIXELS, MOST_COVER, MOST_SOFT = 400, 0.97, 0.3
"""A cut-out has so many solid pixels, does not fill its picture, and is no smoke: few of its pixels are half clear."""
KEPT_SIDE = 512  # px of a cut-out that is kept in memory, the largest thing in a scene


@dataclass
class Photographs:
    """Cut-outs and grounds of some folders. Files that are neither are passed over."""

    things: Sequence[Path]
    grounds: Sequence[Path] = ()
    _kept: dict[Path, NDArray[np.uint8]] = field(default_factory=dict)

    @classmethod
    def of(cls, things: Path, grounds: Sequence[Path] = ()) -> "Photographs":
        """The PNGs under `things` that are cut-outs, and all pictures under the folders of `grounds`.

        Raises FileNotFoundError if there is no cut-out.
        """
        found = [path for path in sorted(things.rglob("*.png")) if is_photograph(_read(path))]
        if not found:
            raise FileNotFoundError(f"{things} has no PNG with a photographed thing in its alpha channel")
        pictures = (path for folder in grounds for path in sorted(folder.rglob("*")))
        return cls(found, [path for path in pictures if path.suffix.lower() in GROUND_SUFFIXES])

    @cached_property
    def _grounds(self) -> list[Image]:
        read = (cv2.imread(str(path)) for path in self.grounds)
        return [_shrunk(np.asarray(image[..., ::-1], np.uint8), 2 * KEPT_SIDE) for image in read if image is not None]

    def thing(self, rng: np.random.Generator, size: float) -> Sprite:
        """A random cut-out of about `size` px, mirrored and turned a little, and lit anew."""
        path = self.things[int(rng.integers(len(self.things)))]
        if path not in self._kept:
            self._kept[path] = _shrunk(np.ascontiguousarray(_read(path)[..., [2, 1, 0, 3]]), KEPT_SIDE)
        moved = _moved(rng, self._kept[path], size)
        gain = np.exp(rng.normal(0, 0.12) + rng.normal(0, 0.04, 3))
        empty = np.zeros(moved.shape[:2], np.uint8)
        rgb = np.clip(moved[..., :3] * gain, 0, 255).astype(np.uint8)
        return Sprite(rgb, np.ascontiguousarray(moved[..., 3]), empty, empty.copy())

    def ground(self, rng: np.random.Generator, side: int) -> Image | None:
        """A random window of a photographed ground as (side, side, 3), or nothing if there is none."""
        if not self._grounds:
            return None
        image = self._grounds[int(rng.integers(len(self._grounds)))]
        extent = int(min(image.shape[:2]) * rng.uniform(0.3, 1))
        y, x = (int(rng.integers(length - extent + 1)) for length in image.shape[:2])
        window = image[y : y + extent, x : x + extent]
        window = window[:, ::-1] if rng.random() < 0.5 else window
        method = cv2.INTER_AREA if extent > side else cv2.INTER_CUBIC
        return np.asarray(cv2.resize(np.ascontiguousarray(window), (side, side), interpolation=method), np.uint8)


def _read(path: Path) -> NDArray[np.uint8]:
    """The picture with its alpha channel, BGRA, or nothing of it where it cannot be read."""
    image = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    return np.zeros((0, 0), np.uint8) if image is None else np.asarray(image, np.uint8)


def is_photograph(image: NDArray[np.uint8]) -> bool:
    """Whether (H, W, 4) shows a photographed thing on nothing. Another shape does not."""
    if image.ndim != 3 or image.shape[2] != 4:
        return False
    alpha = image[..., 3]
    solid = alpha > 200
    if solid.sum() < LEAST_PIXELS or solid.mean() > MOST_COVER or ((alpha > 20) & (alpha < 235)).mean() > MOST_SOFT:
        return False
    coarse = (image[solid][:, :3] >> 3).astype(np.int32) @ np.array([1, 32, 1024])
    return len(np.unique(coarse)) >= LEAST_COLOURS


def _shrunk(image: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """The image with its long side at most `side`."""
    scale = side / max(image.shape[:2])
    if scale >= 1:
        return image
    return np.asarray(cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA), np.uint8)


def _moved(rng: np.random.Generator, image: NDArray[np.uint8], size: float) -> NDArray[np.uint8]:
    """(h, w, 4) resized so that its area is size² of a square, turned and mirrored.

    Colours are weighed by alpha, so that the border takes nothing from what was around the thing.
    """
    image = image[:, ::-1] if rng.random() < 0.5 else image
    scale = size / float(np.sqrt(image.shape[0] * image.shape[1]))
    angle = float(rng.normal(0, 8)) if rng.random() < 0.7 else float(rng.uniform(-180, 180))
    h, w = image.shape[:2]
    turn = cv2.getRotationMatrix2D((w / 2, h / 2), angle, scale)
    reach = np.abs(turn[:, :2]) @ (w, h)
    turn[:, 2] += reach / 2 - (w / 2, h / 2)
    alpha = image[..., 3:].astype(np.float32) / 255
    weighed = np.concatenate([image[..., :3] * alpha, 255 * alpha], -1)
    if scale < 0.7:  # no grain from pixels that are passed over
        weighed = cv2.GaussianBlur(weighed, (0, 0), 0.4 / scale)
    wide, tall = (max(4, round(float(length))) for length in reach)
    out = np.asarray(cv2.warpAffine(weighed, turn, (wide, tall)), np.float32)
    out[..., :3] /= np.maximum(out[..., 3:] / 255, 1 / 255)
    return np.clip(out, 0, 255).astype(np.uint8)
