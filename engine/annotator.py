"""Who decides about masks: a person behind an interface, or ground truth that clicks as evaluation does."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from training.clicks import Click, Mask, iou, next_click

Verdict = Literal["accepted", "rejected"]
COVERED = 0.5
"""IoU with a found mask from which on an object is not asked for."""


class Object(Protocol):
    """One object that is being segmented."""

    def click(self, found: Mask | None, clicks: Sequence[Click]) -> Click | Verdict:
        """The next click, or what becomes of the mask so far. None: there is no mask yet."""
        ...


class Annotator(Protocol):
    """A person, or what stands for one."""

    @property
    def name(self) -> str: ...

    def objects(self, image: str, found: Sequence[Mask]) -> Iterator[Object]:
        """The objects of an image that are not among the masks found already."""
        ...


@dataclass(frozen=True)
class SimulatedObject:
    """Clicks the middle of the larger error, until the IoU is ≥ `target` or `most` clicks are done."""

    wanted: Mask
    target: float
    most: int

    def click(self, found: Mask | None, clicks: Sequence[Click]) -> Click | Verdict:
        if found is not None and iou(found, self.wanted) >= self.target:
            return "accepted"
        if len(clicks) >= self.most:
            return "rejected"
        so_far = found if found is not None else self.wanted & False
        return next_click(self.wanted, so_far, list(clicks))


@dataclass(frozen=True)
class Simulated:
    """Knows the right masks of each image, by URI."""

    truth: Mapping[str, Sequence[Mask]]
    target: float = 0.9
    most: int = 10
    name: str = "simulated"

    def objects(self, image: str, found: Sequence[Mask]) -> Iterator[SimulatedObject]:
        for wanted in self.truth[image]:
            if all(iou(mask, wanted) < COVERED for mask in found):
                yield SimulatedObject(wanted, self.target, self.most)
