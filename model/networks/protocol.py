"""What tasks need of a network, whoever wrote it: `Sam`, or a network of transformers (`model.hub`)."""

from collections.abc import Mapping
from typing import Any, Protocol, Self

import torch
from torch import Tensor, nn


class Row(Protocol):
    """The scales of a network, and its defaults. Lengths are in model pixels."""

    @property
    def name(self) -> str: ...

    @property
    def image_size(self) -> int:
        """Side of the square that the encoder sees."""
        ...

    @property
    def mask_size(self) -> int:
        """Side of the low-resolution logits."""
        ...

    @property
    def stretched(self) -> bool:
        """Whether images are stretched to that square. Otherwise they keep their shape and are padded."""
        ...

    @property
    def pixel_mean(self) -> tuple[float, ...]: ...

    @property
    def pixel_std(self) -> tuple[float, ...]: ...

    @property
    def automatic(self) -> Mapping[str, float]:
        """Defaults of automatic masks."""
        ...


class Decoded(Protocol):
    """Masks without their pixels. Only the network that made it can read the rest of it."""

    @property
    def iou(self) -> Tensor:
        """(N, M) float32: predicted IoU."""
        ...


class Network(Protocol):
    """Encodes images once, and decodes any number of prompts against them. `Sam` describes each method."""

    @property
    def row(self) -> Row: ...

    @property
    def image_encoder(self) -> nn.Module: ...

    @property
    def dtype(self) -> torch.dtype: ...

    @property
    def device(self) -> torch.device: ...

    def placed(self, device: str, dtype: torch.dtype) -> Self:
        """Itself on the device, in eval mode, computing in this dtype as far as its results allow."""
        ...

    def state_dict(self) -> dict[str, Any]: ...

    def encode(self, pixels: Tensor) -> Tensor:
        """(B, 3, S, S) normalised RGB → (B, …): the embedding of each image."""
        ...

    def decode(
        self,
        embeddings: Tensor,
        image_index: Tensor,
        points: Tensor,
        labels: Tensor,
        boxes: Tensor | None = None,
        masks: Tensor | None = None,
        multimask: bool = True,
    ) -> tuple[Tensor, Tensor]: ...

    def decode_tokens(
        self,
        embeddings: Tensor,
        image_index: Tensor,
        points: Tensor,
        labels: Tensor,
        boxes: Tensor | None = None,
        masks: Tensor | None = None,
        multimask: bool = True,
    ) -> Any:
        """A `Decoded`."""
        ...

    def upscale(self, decoded: Any, prompts: Tensor | None = None, masks: Tensor | None = None) -> Tensor: ...
