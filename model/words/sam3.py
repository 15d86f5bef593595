"""SAM 3 (arXiv 2511.16719) through transformers: masks for phrases and exemplars, without SAM.

The image is encoded once. Each phrase, with its exemplars, is decoded by itself. Its weights on the hub are behind a
licence that has to be accepted there.
"""

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
from model.words.load import Source
from model.words.pixels import Normal, resized, settings
from model.words.pretrained import Pretrained
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

    def __init__(self, model: Pretrained) -> None:
        self.name, self.revision = "sam3", model.revision
        self.model = model

    @classmethod
    def load(cls, source: Source, config: Any, device: str) -> "Sam3":
        from transformers import Sam3Model

        side = settings(source).get("size", {}).get("height", config.image_size)
        return cls(Pretrained.read(Sam3Model, source, config, device, Normal(HALF, HALF), side))

    def look(self, image: Pixels, phrases: Sequence[str], exemplars: Sequence[Exemplar]) -> Seen:
        height, width = image.shape[:2]
        pixels = self.model.normal.tensor(resized(image, self.model.side, self.model.side))
        words = self.model.tokenizer(phrases, _TOKENS, fill=True)
        questions = [
            Question(ids[None], mask[None], *_boxes([e for e in exemplars if e.phrase == phrase], height, width))
            for phrase, ids, mask in zip(phrases, words["input_ids"], words["attention_mask"], strict=True)
        ]
        return Seen(pixels, (height, width), tuple(questions))

    def segment(self, seen: list[Seen]) -> list[Instances]:
        return [self._segment(one) for one in seen]

    def _segment(self, seen: Seen) -> Instances:
        network = self.model.network
        device = network.device
        encoded = network.get_vision_features(pixel_values=seen.pixels[None].to(device))
        height, width = seen.size
        boxes, scores, logits = [], [], []
        for i, question in enumerate(seen.questions):
            answer = network(vision_embeds=encoded, **_arguments(question, device))
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
