"""Pixels as a network of transformers takes them, by the numbers in its preprocessor_config.json.

transformers' own image processors need torchvision, which would bring a second build of torch.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image as Pillow
from torch import Tensor

from model.masks.frames import Pixels
from model.words.load import Source

CLIP_MEAN: Final = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD: Final = (0.26862954, 0.26130258, 0.27577711)
IMAGENET_MEAN: Final = (0.485, 0.456, 0.406)
IMAGENET_STD: Final = (0.229, 0.224, 0.225)
BILINEAR: Final = Pillow.Resampling.BILINEAR


@dataclass(frozen=True)
class Normal:
    """Mean and deviation of the channels that a network was trained with."""

    mean: tuple[float, ...]
    std: tuple[float, ...]

    def tensor(self, image: Pixels) -> Tensor:
        """uint8 (H, W, 3) → float32 (3, H, W)."""
        scaled = image.astype(np.float32) / 255
        normal = (scaled - np.asarray(self.mean, np.float32)) / np.asarray(self.std, np.float32)
        return torch.from_numpy(np.ascontiguousarray(normal.transpose(2, 0, 1)))


def settings(source: Source) -> Mapping[str, Any]:
    """The model's preprocessor_config.json; nothing where there is none."""
    from transformers.utils.hub import cached_file

    path = cached_file(
        source.place, "preprocessor_config.json", revision=source.revision, _raise_exceptions_for_missing_entries=False
    )
    return {} if path is None else json.loads(Path(path).read_text())


def resized(image: Pixels, height: int, width: int, resample: Pillow.Resampling = BILINEAR) -> Pixels:
    """uint8 (H, W, 3) → uint8 (height, width, 3)."""
    return np.asarray(Pillow.fromarray(np.ascontiguousarray(image)).resize((width, height), resample))


def fitted(size: tuple[int, int], shortest: int, longest: int) -> tuple[int, int]:
    """(h, w) with the short side at `shortest`, or less where the long one would pass `longest`; DETR's rounding."""
    height, width = size
    short, long = min(size), max(size)
    exact = longest * short / long if long / short * shortest > longest else shortest
    near, far = max(round(exact), 1), max(int(exact * long / short), 1)
    return (near, far) if height <= width else (far, near)


def corners(boxes: Tensor, size: tuple[int, int]) -> NDArray[np.float64]:
    """(N, 4) centre and size as shares of an image of (H, W) → x0, y0, x1, y1 in its pixels."""
    height, width = size
    x, y, w, h = boxes.double().cpu().numpy().T
    return np.stack([(x - w / 2) * width, (y - h / 2) * height, (x + w / 2) * width, (y + h / 2) * height], 1)
