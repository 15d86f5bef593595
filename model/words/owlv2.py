"""OWLv2 (arXiv 2306.09683) through transformers: boxes for phrases.

The network scores every box for every phrase. The image is padded to a square with grey and resized.
"""

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
from torch import Tensor

from model.masks.frames import Pixels
from model.words.load import Source, revision_of
from model.words.pixels import CLIP_MEAN, CLIP_STD, Normal, corners, resized, settings
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

    def __init__(self, network: Any, tokenizer: Any, side: int, normal: Normal, revision: str) -> None:
        self.name, self.revision = "owlv2", revision
        self._network = network
        self._tokenizer = tokenizer
        self._side = side
        self._normal = normal
        self._turn = threading.Lock()  # tokenizers must not be used by two threads at once

    @classmethod
    def load(cls, source: Source, config: Any, device: str) -> "Owlv2":
        from transformers import AutoTokenizer, Owlv2ForObjectDetection

        given = settings(source)
        return cls(
            source.read(Owlv2ForObjectDetection, dtype=torch.float32).to(device).eval(),
            source.read(AutoTokenizer),
            config.vision_config.image_size,
            Normal(given.get("image_mean", CLIP_MEAN), given.get("image_std", CLIP_STD)),
            revision_of(source, config),
        )

    def look(self, image: Pixels, phrases: Sequence[str]) -> Seen:
        height, width = image.shape[:2]
        longest = max(height, width)
        square = np.full((longest, longest, 3), 127, np.uint8)
        square[:height, :width] = image
        pixels = resized(square, self._side, self._side)
        with self._turn:
            length = self._network.config.text_config.max_position_embeddings
            words = self._tokenizer(
                [phrase.lower() for phrase in phrases],
                padding="max_length", truncation=True, max_length=length, return_tensors="pt",
            )  # fmt: skip
        return Seen(self._normal.tensor(pixels), (height, width), words["input_ids"], words["attention_mask"])

    def detect(self, seen: list[Seen]) -> list[Found]:
        return [self._detect(one) for one in seen]

    def _detect(self, seen: Seen) -> Found:
        device = next(self._network.parameters()).device
        answer = self._network(
            pixel_values=seen.pixels[None].to(device),
            input_ids=seen.ids.to(device),
            attention_mask=seen.mask.to(device),
        )
        longest = max(seen.size)
        scores = answer.logits[0].float().sigmoid().cpu().numpy()
        return Found(corners(answer.pred_boxes[0], (longest, longest)), scores)
