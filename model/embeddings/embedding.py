"""An image's embedding as a value that can be saved and loaded."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from model.errors import ModelError
from model.masks.frames import Frame


@dataclass(frozen=True)
class Embedding:
    """The image encoder's output for one image. `tensor`: (1, C, h, w). `key`: content, weights and precision."""

    tensor: Tensor
    frame: Frame
    key: str

    def save(self, path: str | Path) -> None:
        """Write a .safetensors file."""
        told = {"key": self.key, **asdict(self.frame)}
        save_file({"embedding": self.tensor.contiguous().cpu()}, path, {"maskworks": json.dumps(told)})

    @classmethod
    def load(cls, path: str | Path) -> Embedding:
        """Read a file that `save` wrote. Raises ModelError for any other file."""
        try:
            with safe_open(path, "pt") as file:
                told = json.loads((file.metadata() or {})["maskworks"])
                tensor = file.get_tensor("embedding")
        except (SafetensorError, KeyError, ValueError) as error:
            raise ModelError(f"{path} is no saved embedding: {error}") from error
        frame = Frame(tuple(told["image"]), tuple(told["crop"]), tuple(told["resized"]), told.get("stretched", False))
        return cls(tensor, frame, told["key"])
