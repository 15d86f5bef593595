"""Grounding DINO (arXiv 2303.05499) through transformers: boxes for phrases.

Phrases go into the network as sentences of one text, which has a limit. Those that do not fit go into a further text,
and the image is searched once for each. The score of a phrase in a box is that of its best token.
"""

import re
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor

from model.masks.frames import Pixels
from model.words.load import Source, revision_of
from model.words.pixels import IMAGENET_MEAN, IMAGENET_STD, Normal, corners, fitted, resized, settings
from model.words.protocol import DETECTOR, Found

_ENDS: Final = re.compile(r"[.?]")
"""The network takes these for the end of a phrase."""
_KEPT_TEXTS: Final = 256


@dataclass(frozen=True)
class Text:
    """Token ids of some phrases: `spans` has the first token and the end of each, `at` its place in the task."""

    ids: tuple[int, ...]
    spans: tuple[tuple[int, int], ...]
    at: tuple[int, ...]


@dataclass(frozen=True)
class Seen:
    """An image at the network's scale, float32 (3, h, w), its own size, and what to look for."""

    pixels: Tensor
    size: tuple[int, int]
    texts: tuple[Text, ...]
    n_phrases: int


class GroundingDino:
    """A detector."""

    kind = DETECTOR
    takes_exemplars = False
    defaults: Mapping[str, float] = MappingProxyType({"box_threshold": 0.35, "nms_threshold": 0.7})

    def __init__(self, network: Any, tokenizer: Any, scale: Mapping[str, int], normal: Normal, revision: str) -> None:
        self.name, self.revision = "grounding-dino", revision
        self._network = network
        self._tokenizer = tokenizer
        self._scale = scale
        self._normal = normal
        self._turn = threading.Lock()  # tokenizers must not be used by two threads at once
        self._texts: dict[tuple[str, ...], tuple[Text, ...]] = {}

    @classmethod
    def load(cls, source: Source, config: Any, device: str) -> "GroundingDino":
        from transformers import AutoTokenizer, GroundingDinoForObjectDetection

        given = settings(source)
        return cls(
            source.read(GroundingDinoForObjectDetection, dtype=torch.float32).to(device).eval(),
            source.read(AutoTokenizer),
            given.get("size") or {"shortest_edge": 800, "longest_edge": 1333},
            Normal(given.get("image_mean", IMAGENET_MEAN), given.get("image_std", IMAGENET_STD)),
            revision_of(source, config),
        )

    def look(self, image: Pixels, phrases: Sequence[str]) -> Seen:
        size = image.shape[0], image.shape[1]
        height, width = fitted(size, self._scale["shortest_edge"], self._scale["longest_edge"])
        pixels = self._normal.tensor(resized(image, height, width))
        return Seen(pixels, size, self._texts_of(tuple(phrases)), len(phrases))

    def detect(self, seen: list[Seen]) -> list[Found]:
        """One image at a time: padding to a common size would change the boxes."""
        return [self._detect(one) for one in seen]

    def _detect(self, seen: Seen) -> Found:
        parts = [self._search(seen, text) for text in seen.texts]
        return Found(np.concatenate([part.boxes for part in parts]), np.concatenate([part.scores for part in parts]))

    def _search(self, seen: Seen, text: Text) -> Found:
        device = next(self._network.parameters()).device
        ids = torch.tensor([text.ids], device=device)
        answer = self._network(
            pixel_values=seen.pixels[None].to(device),
            input_ids=ids,
            attention_mask=torch.ones_like(ids),
            token_type_ids=torch.zeros_like(ids),
        )
        matches = answer.logits[0].float().sigmoid().cpu().numpy()  # (N, tokens)
        scores = np.zeros((len(matches), seen.n_phrases), np.float32)
        for (first, end), place in zip(text.spans, text.at, strict=True):
            scores[:, place] = matches[:, first:end].max(1)
        return Found(corners(answer.pred_boxes[0], seen.size), scores)

    def _texts_of(self, phrases: tuple[str, ...]) -> tuple[Text, ...]:
        with self._turn:
            if phrases not in self._texts:
                if len(self._texts) >= _KEPT_TEXTS:
                    self._texts.clear()
                self._texts[phrases] = self._write(phrases)
            return self._texts[phrases]

    def _write(self, phrases: tuple[str, ...]) -> tuple[Text, ...]:
        """`[CLS] a cat . a dog . [SEP]`, as many texts as are needed."""
        tokenizer, room = self._tokenizer, self._network.config.max_text_len - 2
        (stop,) = tokenizer(".", add_special_tokens=False)["input_ids"]
        texts: list[Text] = []
        ids: list[int] = []
        spans: list[tuple[int, int]] = []
        at: list[int] = []

        def end() -> None:
            whole = (tokenizer.cls_token_id, *ids, tokenizer.sep_token_id)
            texts.append(Text(whole, tuple(spans), tuple(at)))

        for place, phrase in enumerate(phrases):
            words = _ENDS.sub(" ", phrase).lower().strip() or "."
            tokens = tokenizer(words, add_special_tokens=False)["input_ids"][: room - 1]
            if ids and len(ids) + len(tokens) + 1 > room:
                end()
                ids, spans, at = [], [], []
            spans.append((1 + len(ids), 1 + len(ids) + len(tokens)))
            at.append(place)
            ids += [*tokens, stop]
        end()
        return tuple(texts)
