"""What a worker's pipeline asks of a model. Torch-free; the classes in `model.backends` answer it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol, TypeVar

from model.masks.frames import Pixels
from model.masks.mask import Mask
from model.spec import Task


class Timed(Protocol):
    """What `core` gives of one image."""

    @property
    def encode_ms(self) -> float:
        """Its share of the image encoder's time; 0 where there is none."""
        ...


Prepared = TypeVar("Prepared")
Raw = TypeVar("Raw", bound=Timed)


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

    def pre(self, image: Pixels, task: Task) -> Prepared:
        """uint8 (H, W, 3) RGB and its task → input of `core`. Prompts are as `model.tasks.bounds.fit` leaves them."""
        ...

    def core(self, batch: list[Prepared]) -> list[Raw]:
        """The networks, batched across images and prompts; one Raw per Prepared, in order."""
        ...

    def post(self, raw: Raw) -> list[Mask]:
        """Masks of one image: automatic ones by predicted IoU descending, prompted ones in prompt order."""
        ...

    def run(self, images: Sequence[Pixels], tasks: Sequence[Task]) -> list[list[Mask]]:
        """Fit prompts, then pre, core and post; one list of masks per image. Raises PromptOutOfBounds."""
        ...

    def warm(self) -> None:
        """Do one small round of everything, so that the first real image is not the slow one."""
        ...


@dataclass(frozen=True)
class Options:
    """How a segmenter is loaded.

    `checkpoint`: a file or an s3:// URI; None searches. `download(uri, path)` brings an s3:// checkpoint into `cache`.
    `precision`: "exact" or "fast". `bfloat16`: whether `fast` computes in it; None decides by the device.
    """

    checkpoint: str | Path | None = None
    device: str = "cpu"
    precision: str = "exact"
    cache: Path | None = None
    download: Callable[[str, Path], None] | None = None
    bfloat16: bool | None = None


DEFAULTS: Final = Options()


class Backend(Protocol):
    """A family of models: the class of its segmenters."""

    def load(self, name: str, options: Options) -> SegmenterProtocol[Any, Any]:
        """A segmenter of the family by name. Raises CheckpointError for a missing or wrong file."""
        ...
