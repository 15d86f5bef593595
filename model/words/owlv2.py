"""OWLv2 (arXiv 2306.09683) through transformers: boxes for phrases.

The network scores every box for every phrase. The image is padded to a square with grey and resized.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
from torch import Tensor

from model.masks.frames import Pixels
from model.words.load import Source
from model.words.pixels import CLIP_MEAN, CLIP_STD, Normal, corners, resized
from model.words.pretrained import Pretrained
from model.words.protocol import DETECTOR, Found


@dataclass(frozen=True)
class Seen:
    """An image at the network's scale, float32 (3, S, S), its own size, and token ids (P, T) with their mask."""

    pixels: Tensor
    size: tuple[int, int]
    ids: Tensor
    mask: Tensor


class Owlv2:
    """A detector."""

    kind = DETECTOR
    takes_exemplars = False
    defaults: Mapping[str, float] = MappingProxyType({"box_threshold": 0.2, "nms_threshold": 0.5})

    def __init__(self, model: Pretrained) -> None:
        self.name, self.revision = "owlv2", model.revision
        self.model = model

    @classmethod
    def load(cls, source: Source, config: Any, device: str) -> "Owlv2":
        from transformers import Owlv2ForObjectDetection

        side = config.vision_config.image_size
        return cls(Pretrained.read(Owlv2ForObjectDetection, source, config, device, Normal(CLIP_MEAN, CLIP_STD), side))

    def look(self, image: Pixels, phrases: Sequence[str]) -> Seen:
        height, width = image.shape[:2]
        longest = max(height, width)
        square = np.full((longest, longest, 3), 127, np.uint8)
        square[:height, :width] = image
        pixels = self.model.normal.tensor(resized(square, self.model.side, self.model.side))
        length = self.model.network.config.text_config.max_position_embeddings
        words = self.model.tokenizer([phrase.lower() for phrase in phrases], length, fill=True)
        return Seen(pixels, (height, width), words["input_ids"], words["attention_mask"])

    def detect(self, seen: list[Seen]) -> list[Found]:
        return [self._detect(one) for one in seen]

    def _detect(self, seen: Seen) -> Found:
        network = self.model.network
        device = network.device
        answer = network(
            pixel_values=seen.pixels[None].to(device),
            input_ids=seen.ids.to(device),
            attention_mask=seen.mask.to(device),
        )
        longest = max(seen.size)
        scores = answer.logits[0].float().sigmoid().cpu().numpy()
        return Found(corners(answer.pred_boxes[0], (longest, longest)), scores)
