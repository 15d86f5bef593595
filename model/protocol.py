"""What a worker's pipeline asks of a model. Torch-free; `Segmenter` and `NullSegmenter` both answer it."""

from collections.abc import Sequence
from typing import Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from model.masks.mask import Mask
from model.spec import Automatic, Prompted

Image = NDArray[np.uint8]
Prepared = TypeVar("Prepared")
Raw = TypeVar("Raw")


class SegmenterProtocol(Protocol[Prepared, Raw]):
    """pre → core → post, so that decoding, the accelerator and run-length work overlap across images.

    `pre` and `post` run on the CPU and are thread-safe; `core` belongs to one thread at a time.
    """

    name: str
    revision: str
    precision: str
    device: str
    batch_images: int
    """How many images one call of `core` does best with."""

    def pre(self, image: Image, task: Automatic | Prompted) -> Prepared:
        """uint8 (H, W, 3) RGB and its task → input of `core`. Prompts are as `model.tasks.bounds.fit` leaves them."""
        ...

    def core(self, batch: list[Prepared]) -> list[Raw]:
        """The networks, batched across images and prompts; one Raw per Prepared, in order."""
        ...

    def post(self, raw: Raw) -> list[Mask]:
        """Masks of one image: automatic ones by predicted IoU descending, prompted ones in prompt order."""
        ...

    def run(self, images: Sequence[Image], tasks: Sequence[Automatic | Prompted]) -> list[list[Mask]]:
        """Fit prompts, then pre, core and post; one list of masks per image. Raises PromptOutOfBounds."""
        ...

    def warm(self) -> None:
        """Does one small round of everything, so that the first real image is not the slow one."""
        ...
