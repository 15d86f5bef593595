"""The embedding of an image, for programs that run a decoder themselves."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from msgspec import Struct

from maskworks.extras import extra

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class Embedding(Struct, frozen=True):
    """`content` is float16, little-endian, of `shape` [channels, height, width].

    `size` is [height, width] of the upright image. `etag` changes with its content, the model and the precision.
    """

    content: bytes
    shape: tuple[int, ...]
    size: tuple[int, int]
    etag: str

    def to_numpy(self) -> "NDArray[np.float16]":
        """float16 (C, H, W). Needs the extra `numpy`."""
        numpy = extra("numpy", "Embeddings as arrays", "numpy")
        values: NDArray[np.float16] = numpy.frombuffer(self.content, dtype="<f2").reshape(self.shape)
        return values


def embedding_of(headers: Mapping[str, str], content: bytes) -> Embedding:
    """The server's answer → an embedding."""
    height, width = _numbers(headers["X-Image-Size"])
    return Embedding(content, _numbers(headers["X-Embedding-Shape"]), (height, width), headers["ETag"])


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(number) for number in text.split(","))
