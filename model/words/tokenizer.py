"""A tokenizer of transformers that threads may share."""

import threading
from collections.abc import Sequence
from typing import Any

from model.words.load import Source


class Tokenizer:
    """Two threads must not use a tokenizer at once, so they take turns."""

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        self._turn = threading.Lock()

    @classmethod
    def read(cls, source: Source) -> "Tokenizer":
        from transformers import AutoTokenizer

        return cls(source.read(AutoTokenizer))

    def __call__(self, texts: Sequence[str], length: int, *, fill: bool = False) -> Any:
        """`input_ids` and `attention_mask` (N, T): T is the longest text's, or `length` with `fill`; never more."""
        padding = "max_length" if fill else "longest"
        with self._turn:
            return self._tokenizer(
                list(texts), padding=padding, truncation=True, max_length=length, return_tensors="pt"
            )
