"""CLIP (arXiv 2103.00020) through transformers: how well masks match phrases.

Each mask is shown as a square crop around its box with the background dimmed. Its score for a phrase is the chance that
CLIP gives the phrase against the most likely of some words that fit everything, so 0.5 is no evidence.
"""

import threading
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image as Pillow
from torch import Tensor

from model.masks.frames import Pixels
from model.masks.rle import RLE, bbox, decode
from model.words.load import Source, revision_of
from model.words.pixels import CLIP_MEAN, CLIP_STD, Normal, resized, settings
from model.words.protocol import RANKER

TEMPLATE: Final = "a photo of {}"
ANYTHING: Final = ("an object", "things", "stuff", "texture")
DIMMED: Final = 0.3
"""What is left of the background's brightness."""
MARGIN: Final = 1.2
"""The side of a crop, in long sides of the mask's box."""
AT_ONCE: Final = 64
_KEPT_TEXTS: Final = 4096


class Clip:
    """A ranker of masks."""

    kind = RANKER
    takes_exemplars = False
    defaults: Mapping[str, float] = MappingProxyType({"box_threshold": 0.6, "nms_threshold": 1.0})

    def __init__(self, network: Any, tokenizer: Any, side: int, normal: Normal, revision: str) -> None:
        self.name, self.revision = "clip", revision
        self._network = network
        self._tokenizer = tokenizer
        self._side = side
        self._normal = normal
        self._turn = threading.Lock()  # tokenizers must not be used by two threads at once
        self._known: dict[str, Tensor] = {}

    @classmethod
    def load(cls, source: Source, config: Any, device: str) -> "Clip":
        from transformers import AutoTokenizer, CLIPModel

        given = settings(source)
        return cls(
            source.read(CLIPModel, dtype=torch.float32).to(device).eval(),
            source.read(AutoTokenizer),
            config.vision_config.image_size,
            Normal(given.get("image_mean", CLIP_MEAN), given.get("image_std", CLIP_STD)),
            revision_of(source, config),
        )

    def rank(self, image: Pixels, masks: Sequence[RLE], phrases: Sequence[str]) -> NDArray[np.float32]:
        if not masks:
            return np.zeros((0, len(phrases)), np.float32)
        images = torch.cat([self._images(image, masks[at : at + AT_ONCE]) for at in range(0, len(masks), AT_ONCE)])
        texts = self._texts([TEMPLATE.format(words) for words in (*phrases, *ANYTHING)])
        logits = self._network.logit_scale.exp() * images @ texts.T  # (M, P + anything)
        anything = logits[:, len(phrases) :].max(1, keepdim=True).values
        scores: NDArray[np.float32] = (logits[:, : len(phrases)] - anything).sigmoid().cpu().numpy()
        return scores

    def _images(self, image: Pixels, masks: Sequence[RLE]) -> Tensor:
        """(M, D), of length 1."""
        crops = torch.stack([self._normal.tensor(crop(image, mask, self._side)) for mask in masks])
        return _unit(self._network.get_image_features(crops.to(self._network.device)))

    def _texts(self, texts: list[str]) -> Tensor:
        """(N, D), of length 1."""
        with self._turn:
            if new := [text for text in dict.fromkeys(texts) if text not in self._known]:
                if len(self._known) + len(new) > _KEPT_TEXTS:
                    self._known.clear()
                    new = list(dict.fromkeys(texts))
                length = self._network.config.text_config.max_position_embeddings
                words = self._tokenizer(new, padding=True, truncation=True, max_length=length, return_tensors="pt")
                found = _unit(self._network.get_text_features(**words.to(self._network.device)))
                self._known.update(zip(new, found, strict=True))
            return torch.stack([self._known[text] for text in texts])


def crop(image: Pixels, mask: RLE, side: int) -> Pixels:
    """A square around the mask's box, uint8 (side, side, 3). Outside the mask it is dimmed, outside the image black."""
    x, y, w, h = bbox(mask)
    reach = max(w, h) * MARGIN / 2
    left, top = int(x + w / 2 - reach), int(y + h / 2 - reach)
    length = max(int(2 * reach), 1)
    x0, y0 = max(left, 0), max(top, 0)
    x1, y1 = min(left + length, image.shape[1]), min(top + length, image.shape[0])
    inside = decode(mask)[y0:y1, x0:x1, None]
    part = image[y0:y1, x0:x1]
    square = np.zeros((length, length, 3), np.uint8)
    square[y0 - top : y1 - top, x0 - left : x1 - left] = np.where(inside, part, (part * DIMMED).astype(np.uint8))
    return resized(square, side, side, Pillow.Resampling.BICUBIC)


def _unit(features: Any) -> Tensor:
    tensor: Tensor = getattr(features, "pooler_output", features)
    return torch.nn.functional.normalize(tensor, dim=-1)
