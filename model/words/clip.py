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
from torch import Tensor

from model.masks.frames import Pixels
from model.masks.rle import RLE
from model.words.crops import crop
from model.words.load import Source
from model.words.pixels import CLIP_MEAN, CLIP_STD, Normal
from model.words.pretrained import Pretrained
from model.words.protocol import RANKER

TEMPLATE: Final = "a photo of {}"
ANYTHING: Final = ("an object", "things", "stuff", "texture")
AT_ONCE: Final = 64
_KEPT_TEXTS: Final = 4096


class Clip:
    """A ranker of masks."""

    kind = RANKER
    takes_exemplars = False
    defaults: Mapping[str, float] = MappingProxyType({"box_threshold": 0.6, "nms_threshold": 1.0})

    def __init__(self, model: Pretrained) -> None:
        self.name, self.revision = "clip", model.revision
        self.model = model
        self._turn = threading.Lock()  # for what is known
        self._known: dict[str, Tensor] = {}

    @classmethod
    def load(cls, source: Source, config: Any, device: str) -> "Clip":
        from transformers import CLIPModel

        side = config.vision_config.image_size
        return cls(Pretrained.read(CLIPModel, source, config, device, Normal(CLIP_MEAN, CLIP_STD), side))

    def rank(self, image: Pixels, masks: Sequence[RLE], phrases: Sequence[str]) -> NDArray[np.float32]:
        if not masks:
            return np.zeros((0, len(phrases)), np.float32)
        images = torch.cat([self._images(image, masks[at : at + AT_ONCE]) for at in range(0, len(masks), AT_ONCE)])
        texts = self._texts([TEMPLATE.format(words) for words in (*phrases, *ANYTHING)])
        logits = self.model.network.logit_scale.exp() * images @ texts.T  # (M, P + anything)
        anything = logits[:, len(phrases) :].max(1, keepdim=True).values
        scores: NDArray[np.float32] = (logits[:, : len(phrases)] - anything).sigmoid().cpu().numpy()
        return scores

    def _images(self, image: Pixels, masks: Sequence[RLE]) -> Tensor:
        """(M, D), of length 1."""
        network, normal, side = self.model.network, self.model.normal, self.model.side
        crops = torch.stack([normal.tensor(crop(image, mask, side)) for mask in masks])
        return _unit(network.get_image_features(crops.to(network.device)))

    def _texts(self, texts: list[str]) -> Tensor:
        """(N, D), of length 1."""
        with self._turn:
            if new := [text for text in dict.fromkeys(texts) if text not in self._known]:
                if len(self._known) + len(new) > _KEPT_TEXTS:
                    self._known.clear()
                    new = list(dict.fromkeys(texts))
                network = self.model.network
                words = self.model.tokenizer(new, network.config.text_config.max_position_embeddings)
                found = _unit(network.get_text_features(**words.to(network.device)))
                self._known.update(zip(new, found, strict=True))
            return torch.stack([self._known[text] for text in texts])


def _unit(features: Any) -> Tensor:
    tensor: Tensor = getattr(features, "pooler_output", features)
    return torch.nn.functional.normalize(tensor, dim=-1)
