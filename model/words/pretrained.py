"""A network of transformers that sees square images, with its tokenizer: what CLIP, OWLv2 and SAM 3 are made of."""

from dataclasses import dataclass
from typing import Any

import torch

from model.words.load import Source, revision_of
from model.words.pixels import Normal, settings
from model.words.tokenizer import Tokenizer


@dataclass(frozen=True)
class Pretrained:
    """`side`: of the square that the network sees. `normal`: how it takes channels."""

    network: Any
    tokenizer: Tokenizer
    side: int
    normal: Normal
    revision: str

    @classmethod
    def read(cls, kind: Any, source: Source, config: Any, device: str, normal: Normal, side: int) -> "Pretrained":
        """`kind`: the class of transformers. The model's preprocessor_config.json comes before `normal` and `side`."""
        given = settings(source)
        return cls(
            source.read(kind, dtype=torch.float32).to(device).eval(),
            Tokenizer.read(source),
            side,
            Normal(given.get("image_mean", normal.mean), given.get("image_std", normal.std)),
            revision_of(source, config),
        )
