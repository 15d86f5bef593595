"""What a task is: it measures a picture, and makes figures from what it measured in all of them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from evaluation.data.picture import Picture
from model.backends.sam import Segmenter
from model.masks.rle import RLE

Record = dict[str, Any]
"""What was measured in one picture, as JSON."""
Figures = dict[str, float]
Tally = Callable[[NDArray[np.int64]], Figures]
"""The figures of the records with these indexes. An index may come twice, as it does in a bootstrap sample."""


@dataclass(frozen=True)
class Subject:
    """A model that is measured, and what it sets of the service's own parameters."""

    segmenter: Segmenter
    settings: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Case:
    """One answer that can be drawn beside what is right. `value`: the greater, the better."""

    title: str
    value: float
    wanted: list[RLE]
    found: list[RLE]
    points: Sequence[tuple[int, int, bool]] = ()


class Task(Protocol):
    """A kind of measurement with its parameters. Parameters are part of a run's identity."""

    @property
    def name(self) -> str: ...

    @property
    def settings(self) -> frozenset[str]:
        """Parameters of the service that a subject may set."""
        ...

    def parameters(self) -> dict[str, Any]:
        """What a run's records depend on, as JSON."""
        ...

    def measure(self, subject: Subject, picture: Picture) -> Record:
        """What the model does with a picture. Only this needs the model."""
        ...

    def tally(self, records: Sequence[Record]) -> Tally:
        """Prepare the figures of these records."""
        ...

    def worth(self, record: Record) -> list[float]:
        """The value of each case of a record."""
        ...

    def cases(self, picture: Picture, record: Record) -> list[Case]:
        """What can be drawn of a record."""
        ...
