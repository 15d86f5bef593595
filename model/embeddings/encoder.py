"""Crops of images to embeddings. Each content is encoded once while the cache holds it."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from model.embeddings.cache import EmbeddingCache
from model.masks.frames import Frame, Pixels, resize
from model.networks.protocol import Network


@dataclass(frozen=True)
class View:
    """One crop on its way to the encoder: pixels uint8 (h', w', 3), or None where the embedding is given."""

    frame: Frame
    pixels: Pixels | None
    key: str
    embedding: Tensor | None = None


class Encoder:
    """The image encoder of `sam` with a cache. `weights` names the weights and the precision in each key."""

    def __init__(self, sam: Network, weights: str, cache_bytes: int) -> None:
        self.cache = EmbeddingCache(cache_bytes)
        self._sam = sam
        self._suffix = f":{weights}"
        row = sam.row
        self._mean, self._std = (
            torch.tensor(v, device=sam.device).view(3, 1, 1) for v in (row.pixel_mean, row.pixel_std)
        )

    def made(self, key: str) -> bool:
        """Whether an embedding of this key comes from the same weights and precision."""
        return key.endswith(self._suffix)

    def view(self, image: Pixels, frame: Frame) -> View:
        """The crop at the model's scale, with its key."""
        pixels = self.resized(image, frame)
        return View(frame, pixels, _digest(pixels) + self._suffix)

    def resized(self, image: Pixels, frame: Frame) -> Pixels:
        """The crop at the model's scale, uint8 (h', w', 3), writable."""
        return resize(image, frame)

    def encode(self, views: Sequence[View], at_once: int) -> list[Tensor]:
        """Each view's embedding (1, C, h, w): given, cached, or computed, at most `at_once` together."""
        known = {v.key: v.embedding if v.embedding is not None else self.cache.get(v.key) for v in views}
        fresh = {v.key: v.pixels for v in views if known[v.key] is None and v.pixels is not None}
        keys = list(fresh)
        for at in range(0, len(keys), at_once):
            part = keys[at : at + at_once]
            pixels = self.normalised([fresh[key] for key in part])
            for key, one in zip(part, torch.split(self._sam.encode(pixels), 1), strict=True):
                known[key] = one
                self.cache.put(key, one)
        return [e for e in (known[v.key] for v in views) if e is not None]

    def normalised(self, crops: Sequence[Pixels]) -> Tensor:
        """uint8 (h', w', 3) each → float32 (B, 3, S, S): first (x − mean) / std, then zeros right and below."""
        side, device = self._sam.row.image_size, self._mean.device
        batch = torch.zeros(len(crops), 3, side, side, device=device)
        for slot, crop in zip(batch, crops, strict=True):
            host = torch.from_numpy(crop)
            if self._mean.is_cuda:  # page-locked memory, so that the copy overlaps other work of the device
                host = host.pin_memory()
            pixels = host.to(device, non_blocking=True).permute(2, 0, 1)
            slot[:, : crop.shape[0], : crop.shape[1]] = (pixels - self._mean) / self._std
        return batch


def _digest(pixels: Pixels) -> str:
    """A digest of a crop's resized pixels and their shape."""
    digest = hashlib.blake2b(str(pixels.shape).encode(), digest_size=20)
    digest.update(pixels.data)
    return digest.hexdigest()
