"""Image embeddings as values: cached by content, saved and loaded."""

from __future__ import annotations

import hashlib
import json
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from threading import Lock

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from model.errors import ModelError
from model.masks.frames import Frame, Pixels


@dataclass(frozen=True)
class Embedding:
    """What the image encoder made of one image. `tensor`: (1, C, h, w); `key` names content, weights, precision."""

    tensor: Tensor
    frame: Frame
    key: str

    def save(self, path: str | Path) -> None:
        """As a .safetensors file."""
        told = {"key": self.key, "image": self.frame.image, "crop": self.frame.crop, "resized": self.frame.resized}
        save_file({"embedding": self.tensor.contiguous().cpu()}, path, {"maskworks": json.dumps(told)})

    @classmethod
    def load(cls, path: str | Path) -> Embedding:
        """From `save`. Raises ModelError for any other file."""
        try:
            with safe_open(path, "pt") as file:
                told = json.loads((file.metadata() or {})["maskworks"])
                tensor = file.get_tensor("embedding")
        except (SafetensorError, KeyError, ValueError) as error:
            raise ModelError(f"{path} is no saved embedding: {error}") from error
        frame = Frame(tuple(told["image"]), tuple(told["crop"]), tuple(told["resized"]))
        return cls(tensor, frame, told["key"])


def content_key(pixels: Pixels, *names: str) -> str:
    """Digest of a crop's resized pixels and of whatever else decides its embedding."""
    digest = hashlib.blake2b("\0".join((*names, str(pixels.shape))).encode(), digest_size=20)
    digest.update(pixels.data)
    return digest.hexdigest()


class EmbeddingCache:
    """The embeddings used last, within `capacity` bytes of wherever they lie. Thread-safe."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.hits = self.misses = 0
        self._held: OrderedDict[str, Tensor] = OrderedDict()
        self._bytes = 0
        self._lock = Lock()

    def get(self, key: str) -> Tensor | None:
        """(1, C, h, w), now the one used last; None where it is not held."""
        with self._lock:
            found = self._held.get(key)
            if found is None:
                self.misses += 1
                return None
            self.hits += 1
            self._held.move_to_end(key)
            return found

    def put(self, key: str, embedding: Tensor) -> None:
        """Holds a copy of its own (a view would keep its whole batch), dropping those used longest ago."""
        size = embedding.numel() * embedding.element_size()
        with self._lock:
            if size > self.capacity or key in self._held:
                return
            self._held[key] = embedding.clone()
            self._bytes += size
            while self._bytes > self.capacity:
                _, dropped = self._held.popitem(last=False)
                self._bytes -= dropped.numel() * dropped.element_size()


def stacked(crops: list[Pixels], side: int, mean: Tensor, std: Tensor) -> Tensor:
    """uint8 (h', w', 3) each → float32 (B, 3, S, S) on mean's device: (x − mean) / std, THEN zeros right and below."""
    batch = torch.zeros(len(crops), 3, side, side, device=mean.device)
    for slot, crop in zip(batch, crops, strict=True):
        host = torch.from_numpy(crop)
        if mean.is_cuda:  # page-locked, or the copy would not run beside what the device does
            host = host.pin_memory()
        pixels = host.to(mean.device, non_blocking=True).permute(2, 0, 1)
        slot[:, : crop.shape[0], : crop.shape[1]] = (pixels - mean) / std
    return batch
