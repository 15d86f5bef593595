"""The table of formats. A new one is a reader and a row here."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Final

from evaluation.data import layouts
from evaluation.data.coco import coco
from evaluation.data.label_maps import label_maps
from evaluation.data.picture import DataSet, GroundTruthError
from evaluation.data.sa1b import sa1b


@dataclass(frozen=True)
class Place:
    """Where a data set is. `images`: the folder of pictures, or the root of a published layout.

    `empty`: whether images of `coco` and `lvis` without a region count.
    """

    images: Path
    ground_truth: Path | None = None
    split: str | None = None
    min_share: float = 0.0
    empty: bool = False

    @property
    def truth(self) -> Path:
        if self.ground_truth is None:
            raise GroundTruthError("this format needs --ground-truth")
        return self.ground_truth


FORMATS: Final[Mapping[str, Callable[[Place], DataSet]]] = MappingProxyType(
    {
        "maps": lambda at: label_maps(at.images, at.truth, at.min_share),
        "coco": lambda at: coco(at.images, at.truth, at.min_share, at.empty),
        "lvis": lambda at: coco(at.images, at.truth, at.min_share, at.empty),
        "sa1b": lambda at: sa1b(at.images, at.ground_truth or at.images, at.min_share),
        "grabcut": lambda at: layouts.grabcut(at.images, at.min_share),
        "berkeley": lambda at: layouts.berkeley(at.images, at.min_share),
        "sbd": lambda at: layouts.sbd(at.images, at.split or "val", at.min_share),
        "davis": lambda at: layouts.davis(at.images, at.min_share),
        "bsds": lambda at: layouts.bsds(at.images, at.split or "test", at.min_share),
    }
)
