"""Frames: original pixels → a crop of them → model pixels, and back. numpy and Pillow only.

    image (H, W) ── crop ──> crop (h, w) ── resize, long side = S ──> model (h', w') ── zero pad ──> (S, S)

h' = int(h·scale + .5), at least 1. Coordinates scale by the *rounded* sizes, in float64 (reference behaviour). Some
networks see the crop stretched to (S, S) instead: h' = w' = S.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow

from model.masks.rle import RLE, decode

Pixels = NDArray[np.uint8]
MASK_PROMPT_LOGIT = 20.0


@dataclass(frozen=True)
class Frame:
    """Where one crop of an image lies in the model's input.

    `image`: (H, W). `crop`: x0, y0, x1, y1 in image pixels, exclusive ends. `resized`: (h', w') in model pixels.
    `stretched`: the crop fills the model's input, and its logits are resized in one step.
    """

    image: tuple[int, int]
    crop: tuple[int, int, int, int]
    resized: tuple[int, int]
    stretched: bool = False

    @property
    def size(self) -> tuple[int, int]:
        """(h, w) of the crop in original pixels."""
        x0, y0, x1, y1 = self.crop
        return y1 - y0, x1 - x0

    @property
    def crop_xywh(self) -> list[int]:
        x0, y0, x1, y1 = self.crop
        return [x0, y0, x1 - x0, y1 - y0]


def frame_of(image: tuple[int, int], crop: tuple[int, int, int, int], side: int, stretched: bool = False) -> Frame:
    """The frame of `crop` in an image of (H, W), for a model with inputs of side x side."""
    if stretched:
        return Frame(image, crop, (side, side), True)
    height, width = crop[3] - crop[1], crop[2] - crop[0]
    scale = side / max(height, width)
    return Frame(image, crop, (max(int(height * scale + 0.5), 1), max(int(width * scale + 0.5), 1)))


def whole(height: int, width: int, side: int, stretched: bool = False) -> Frame:
    """The frame of the whole image."""
    return frame_of((height, width), (0, 0, width, height), side, stretched)


def resize(image: Pixels, frame: Frame) -> Pixels:
    """uint8 (H, W, 3) → its crop at the model's scale, uint8 (h', w', 3), writable: Pillow's own bilinear filter."""
    x0, y0, x1, y1 = frame.crop
    # A decoded file may be read-only. torch warns of such arrays.
    crop = np.require(image[y0:y1, x0:x1], requirements=("C", "W"))
    height, width = frame.resized
    if crop.shape[:2] == (height, width):
        return crop
    return np.array(Pillow.fromarray(crop).resize((width, height), Pillow.Resampling.BILINEAR))


def to_model(points: NDArray[np.float64], frame: Frame) -> NDArray[np.float64]:
    """float64 (..., 2) xy: crop pixels → model pixels."""
    (height, width), (tall, wide) = frame.size, frame.resized
    scaled: NDArray[np.float64] = points * np.asarray([wide / width, tall / height])
    return scaled


def mask_logits(rle: RLE, frame: Frame, side: int, low: int) -> NDArray[np.float32]:
    """A mask prompt of the image's size → float32 (1, low, low) logits, as the prompt encoder takes them.

    Each low-resolution cell holds 20·(2c − 1), where c is the share of it that the mask covers (by the triangle
    filter that resizes pixels). A cell that is half covered holds 0. Padding holds −20.
    """
    tall, wide = (max(round(v * low / side), 1) for v in frame.resized)
    pixels = decode(rle).astype(np.float32)
    cover = Pillow.fromarray(pixels).resize((wide, tall), Pillow.Resampling.BILINEAR)
    logits = np.full((1, low, low), -MASK_PROMPT_LOGIT, dtype=np.float32)
    logits[0, :tall, :wide] = MASK_PROMPT_LOGIT * (2 * np.asarray(cover) - 1)
    return logits
