"""Clicks a mask of some pictures, from what was stored about them, with bootstrap intervals over the pictures."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from evaluation.bootstrap import Interval, differences, intervals, resampled, samples
from evaluation.task import Figures
from maskworks.records import Annotation
from training.clicks import Mask

RESAMPLES = 1000
Picture = list[tuple[int, bool]]
"""Of each mask: its clicks, and whether it was accepted."""


@dataclass(frozen=True)
class Clicks:
    """The pictures of a stage, in a fixed order."""

    pictures: Sequence[Picture]

    def figures(self, index: NDArray[np.int64]) -> Figures:
        masks = [mask for i in index for mask in self.pictures[i]]
        clicks = sum(clicks for clicks, _ in masks) / max(1, len(masks))
        return {"clicks": clicks, "accepted": sum(right for _, right in masks) / max(1, len(masks))}

    def intervals(self) -> dict[str, Interval]:
        """`clicks` a mask, and the share `accepted`."""
        return intervals(*self._sampled())

    def minus(self, first: "Clicks") -> Interval:
        """The difference in clicks a mask on the same pictures, paired."""
        return differences(first._sampled(), self._sampled())["clicks"]

    def _sampled(self) -> tuple[Figures, list[Figures]]:
        count = len(self.pictures)
        return self.figures(np.arange(count)), resampled(self.figures, samples(count, RESAMPLES))


def counted(stored: Iterable[Annotation], truth: Mapping[str, Sequence[Mask]], most: int, asked: bool) -> Clicks:
    """One entry for each picture of the truth. `asked`: every object was; one that left no mask cost `most` clicks."""
    by_image: dict[str, Picture] = defaultdict(list)
    for one in stored:
        by_image[one.image].append((one.clicks, one.state == "accepted"))
    pictures = []
    for uri, masks in sorted(truth.items()):
        missing = len(masks) - len(by_image[uri]) if asked else 0
        pictures.append(sorted(by_image[uri]) + [(most, False)] * missing)
    return Clicks(pictures)
