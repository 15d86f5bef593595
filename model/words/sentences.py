"""Sentences as vectors, by a sentence-transformers model of the MiniLM kind: the mean of its tokens, of length 1."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor

from model.words.load import Source
from model.words.tokenizer import Tokenizer

AT_ONCE: Final = 256
_TOKENS: Final = 64
"""A phrase has at most 256 characters; what lies behind these tokens does not count."""


class Sentences:
    """Safe for several threads."""

    def __init__(self, network: Any, tokenizer: Tokenizer) -> None:
        self._network = network
        self._tokenizer = tokenizer

    @classmethod
    def load(cls, folder: Path, device: str) -> "Sentences":
        from transformers import AutoModel

        source = Source(str(folder))
        return cls(source.read(AutoModel, dtype=torch.float32).to(device).eval(), Tokenizer.read(source))

    def vectors(self, texts: Sequence[str]) -> Tensor:
        """(N, D)."""
        return torch.cat([self._vectors(texts[at : at + AT_ONCE]) for at in range(0, len(texts), AT_ONCE)])

    def _vectors(self, texts: Sequence[str]) -> Tensor:
        words = self._tokenizer(texts, _TOKENS).to(self._network.device)
        tokens = self._network(**words).last_hidden_state  # (N, T, D)
        seen = words["attention_mask"][..., None]
        return torch.nn.functional.normalize((tokens * seen).sum(1) / seen.sum(1), dim=-1)
