"""The interfaces between a text task and the models that know words. Torch-free.

A model for text is one of three kinds, and `model.tasks.text` has a route for each:

Detector   finds boxes for phrases; SAM makes the masks
Ranker     says how well each of SAM's automatic masks matches each phrase
Native     gives masks for phrases by itself, and takes exemplars
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from model.masks.frames import Pixels
from model.masks.rle import RLE
from model.spec import Exemplar

DETECTOR: Final = "detector"
RANKER: Final = "ranker"
NATIVE: Final = "native"


@dataclass(frozen=True)
class Found:
    """N candidates in one image, and how well each matches each of P phrases.

    `boxes`: (N, 4), x0, y0, x1, y1 in pixels of the image. `scores`: (N, P) in [0, 1].
    """

    boxes: NDArray[np.float64]
    scores: NDArray[np.float32]


class Words(Protocol):
    """What every model for text has."""

    @property
    def kind(self) -> str:
        """DETECTOR, RANKER or NATIVE."""
        ...

    @property
    def name(self) -> str: ...

    @property
    def revision(self) -> str:
        """Changes with the weights. It is part of a text result's `model_revision`."""
        ...

    @property
    def takes_exemplars(self) -> bool:
        """Whether boxes may show what a phrase means."""
        ...

    @property
    def defaults(self) -> Mapping[str, float]:
        """The parameters of a text task that names none: `box_threshold`, `nms_threshold`."""
        ...


class Detector(Words, Protocol):
    """Boxes for phrases."""

    def look(self, image: Pixels, phrases: Sequence[str]) -> Any:
        """From uint8 (H, W, 3) to the input of `detect`. On the CPU, thread-safe."""
        ...

    def detect(self, seen: list[Any]) -> list[Found]:
        """Run the networks for several images."""
        ...


class Ranker(Words, Protocol):
    """How well masks match phrases."""

    def rank(self, image: Pixels, masks: Sequence[RLE], phrases: Sequence[str]) -> NDArray[np.float32]:
        """Scores (M, P) in [0, 1] of M masks of an image. Runs the networks."""
        ...


@dataclass(frozen=True)
class Instances:
    """N candidates in one image with their masks: `logits` is a tensor (N, h, w) over the whole image."""

    found: Found
    logits: Any


class Native(Words, Protocol):
    """Masks for phrases."""

    def look(self, image: Pixels, phrases: Sequence[str], exemplars: Sequence[Exemplar]) -> Any:
        """From uint8 (H, W, 3) and exemplars with boxes x0, y0, x1, y1 to the input of `segment`. On the CPU."""
        ...

    def segment(self, seen: list[Any]) -> list[Instances]:
        """Run the networks for several images."""
        ...
