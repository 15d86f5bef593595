"""The interface between a worker and a model. Torch-free. The classes in `model.backends` implement it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from model.masks.frames import Pixels
from model.masks.mask import Mask
from model.spec import Task, Wanted
from model.words.protocol import Words


class Timed(Protocol):
    """What `core` returns for one image."""

    @property
    def encode_ms(self) -> float:
        """Its share of the image encoder's time; 0 where there is none."""
        ...


Prepared = TypeVar("Prepared")
Raw = TypeVar("Raw", bound=Timed)


class SegmenterProtocol(Protocol[Prepared, Raw]):
    """Three steps, so that work on the CPU and on the device overlaps across images.

    `pre` and `post` run on the CPU and are thread-safe. `core` is thread-safe on a CPU; on CUDA one thread calls it.
    """

    name: str
    revision: str
    precision: str
    device: str
    batch_images: int
    """The best number of images for one call of `core`."""
    tasks: tuple[str, ...]
    """The types of task that it serves. `text_exemplars`: it serves `text`, and takes exemplars."""

    def revision_of(self, task: str) -> str:
        """The weights that make the masks of a task of this type; for most it is `revision`."""
        ...

    def pre(self, image: Pixels, wanted: Wanted) -> Prepared:
        """From uint8 (H, W, 3) RGB and a fitted task (`model.tasks.bounds`), or Embed, to the input of `core`."""
        ...

    def core(self, batch: list[Prepared]) -> list[Raw]:
        """Run the networks, batched across images and prompts. Returns one Raw for each Prepared, in order."""
        ...

    def post(self, raw: Raw) -> list[Mask]:
        """The masks: automatic ones by predicted IoU, descending; prompted ones in the order of the prompts."""
        ...

    def post_embedding(self, raw: Raw) -> NDArray[np.float16]:
        """The embedding, float16 (C, h, w), where Embed was asked for."""
        ...

    def run(self, images: Sequence[Pixels], tasks: Sequence[Task]) -> list[list[Mask]]:
        """Fit the tasks, then pre, core and post. Returns a list of masks for each image. Raises PromptOutOfBounds."""
        ...

    def warm(self) -> None:
        """Run each kind of task once on a small image, so that the first real image is not slow."""
        ...


@dataclass(frozen=True)
class Options:
    """How a segmenter is loaded.

    `checkpoint`: a file or an s3:// URI; None searches. `download(uri, path)` brings an s3:// checkpoint into `cache`.
    `precision`: "exact" or "fast". `bfloat16`: whether `fast` computes in it; None decides by the device. `words`: the
    model for text.
    """

    checkpoint: str | Path | None = None
    device: str = "cpu"
    precision: str = "exact"
    cache: Path | None = None
    download: Callable[[str, Path], None] | None = None
    bfloat16: bool | None = None
    words: Words | None = None


DEFAULTS: Final = Options()


class Backend(Protocol):
    """A family of models: the class of its segmenters."""

    def load(self, name: str, options: Options) -> SegmenterProtocol[Any, Any]:
        """A segmenter of the family by name. Raises CheckpointError for a missing or wrong file."""
        ...
