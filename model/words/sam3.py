"""SAM 3 (arXiv 2511.16719) through transformers: masks for phrases and exemplars, without SAM.

The image is encoded once. Each phrase, with its exemplars, is decoded by itself. Its weights on the hub are behind a
licence that has to be accepted there.
"""

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from types import MappingProxyType
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor

from model.masks.frames import Pixels
from model.spec import Exemplar
from model.words.load import Source, revision_of
from model.words.pixels import Normal, resized, settings
from model.words.protocol import NATIVE, Found, Instances

HALF: Final = (0.5, 0.5, 0.5)
_TOKENS: Final = 32


@dataclass(frozen=True)
class Question:
    """A phrase as token ids (1, T) with their mask, and its exemplars with their labels (1, E).

    `boxes`: (1, E, 4), centre and size as shares of the image.
    """

    ids: Tensor
    mask: Tensor
    boxes: Tensor | None
    labels: Tensor | None


@dataclass(frozen=True)
class Seen:
    """An image at the network's scale, float32 (3, S, S), its own size, and a question for each phrase."""

    pixels: Tensor
    size: tuple[int, int]
    questions: tuple[Question, ...]


class Sam3:
    """A segmenter of phrases."""

    kind = NATIVE
    takes_exemplars = find_spec("torchvision") is not None
    """The network samples the image under exemplars by an operation of torchvision."""
    defaults: Mapping[str, float] = MappingProxyType({"box_threshold": 0.3, "nms_threshold": 0.7})

    def __init__(self, network: Any, tokenizer: Any, side: int, normal: Normal, revision: str) -> None:
        self.name, self.revision = "sam3", revision
        self._network = network
        self._tokenizer = tokenizer
        self._side = side
        self._normal = normal
        self._turn = threading.Lock()  # tokenizers must not be used by two threads at once

    @classmethod
    def load(cls, source: Source, config: Any, device: str) -> "Sam3":
        from transformers import AutoTokenizer, Sam3Model

        given = settings(source)
        return cls(
            source.read(Sam3Model, dtype=torch.float32).to(device).eval(),
            source.read(AutoTokenizer),
            given.get("size", {}).get("height", config.image_size),
            Normal(given.get("image_mean", HALF), given.get("image_std", HALF)),
            revision_of(source, config),
        )

    def look(self, image: Pixels, phrases: Sequence[str], exemplars: Sequence[Exemplar]) -> Seen:
        height, width = image.shape[:2]
        pixels = resized(image, self._side, self._side)
        with self._turn:
            words = self._tokenizer(
                list(phrases), padding="max_length", truncation=True, max_length=_TOKENS, return_tensors="pt"
            )
        questions = [
            Question(ids[None], mask[None], *_boxes([e for e in exemplars if e.phrase == phrase], height, width))
            for phrase, ids, mask in zip(phrases, words["input_ids"], words["attention_mask"], strict=True)
        ]
        return Seen(self._normal.tensor(pixels), (height, width), tuple(questions))

    def segment(self, seen: list[Seen]) -> list[Instances]:
        return [self._segment(one) for one in seen]

    def _segment(self, seen: Seen) -> Instances:
        device = next(self._network.parameters()).device
        encoded = self._network.get_vision_features(pixel_values=seen.pixels[None].to(device))
        height, width = seen.size
        boxes, scores, logits = [], [], []
        for i, question in enumerate(seen.questions):
            answer = self._network(vision_embeds=encoded, **_arguments(question, device))
            score = (answer.pred_logits[0].sigmoid() * answer.presence_logits[0].sigmoid()).float().cpu().numpy()
            scores.append(np.zeros((len(score), len(seen.questions)), np.float32))
            scores[-1][:, i] = score
            boxes.append(answer.pred_boxes[0].double().cpu().numpy() * [width, height, width, height])
            logits.append(answer.pred_masks[0].float())
        return Instances(Found(np.concatenate(boxes), np.concatenate(scores)), torch.cat(logits))


def _boxes(exemplars: Sequence[Exemplar], height: int, width: int) -> tuple[Tensor | None, Tensor | None]:
    """Centre and size as shares of the image, and labels."""
    if not exemplars:
        return None, None
    x0, y0, x1, y1 = torch.tensor([exemplar.box for exemplar in exemplars]).T / torch.tensor(
        [[width], [height], [width], [height]]
    )
    boxes = torch.stack([(x0 + x1) / 2, (y0 + y1) / 2, x1 - x0, y1 - y0], 1)
    return boxes[None].float(), torch.tensor([[exemplar.label for exemplar in exemplars]])


def _arguments(question: Question, device: torch.device) -> dict[str, Tensor]:
    given = {"input_ids": question.ids, "attention_mask": question.mask}
    if question.boxes is not None and question.labels is not None:
        given |= {"input_boxes": question.boxes, "input_boxes_labels": question.labels}
    return {name: tensor.to(device) for name, tensor in given.items()}
