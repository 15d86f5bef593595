"""A null model that segments what is there, for tests of tiles only. MASKWORKS_NULL_REGIONS loads it.

Each connected region of pixels that are not nearly black is an object. A prompt gets the regions that its points or its
box touch.
"""

from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from model.backends.null import NullPrepared, NullSegmenter
from model.masks import rle
from model.masks.frames import Pixels
from model.masks.mask import Mask
from model.spec import Prompt, Prompted, Wanted

_BLACK: Final = 32


@dataclass(frozen=True)
class Labelled(NullPrepared):
    """An image whose regions have numbers from 1 on."""

    labels: NDArray[np.int32] | None = None


class RegionsNull(NullSegmenter):
    """The null model with masks of what an image shows."""

    def pre(self, image: Pixels, wanted: Wanted) -> NullPrepared:
        _, labels = cv2.connectedComponents((image.max(axis=2) > _BLACK).astype(np.uint8), connectivity=8)
        return Labelled(**vars(super().pre(image, wanted)), labels=labels.astype(np.int32))

    def post(self, raw: NullPrepared) -> list[Mask]:
        assert isinstance(raw, Labelled) and raw.labels is not None
        if isinstance(raw.wanted, Prompted):
            return [mask for prompt in raw.wanted.prompts for mask in _answers(raw.labels, prompt)]
        return [_mask(raw.labels == number, None) for number in range(1, int(raw.labels.max()) + 1)]


def _answers(labels: NDArray[np.int32], prompt: Prompt) -> list[Mask]:
    height, width = labels.shape
    points = [(min(int(x), width - 1), min(int(y), height - 1)) for x, y in prompt.points]
    numbers = {int(labels[y, x]) for (x, y), label in zip(points, prompt.labels, strict=True) if label == 1}
    if prompt.box is not None:
        x0, y0, x1, y1 = (int(v) for v in prompt.box)
        numbers |= set(np.unique(labels[y0:y1, x0:x1]).tolist())
    mask = _mask(np.isin(labels, sorted(numbers - {0})), prompt)
    return [mask] * (3 if prompt.three_masks else 1)


def _mask(inside: NDArray[np.bool_], prompt: Prompt | None) -> Mask:
    encoded = rle.encode(inside)
    return Mask(
        rle=encoded,
        bbox=rle.bbox(encoded),
        area=rle.area(encoded),
        predicted_iou=0.9,
        stability_score=1.0,
        point_coords=None if prompt is None else [[float(x), float(y)] for x, y in prompt.points] or None,
        crop_box=[0, 0, inside.shape[1], inside.shape[0]],
        prompt_id=None if prompt is None else prompt.id,
    )
