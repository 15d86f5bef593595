"""A picture with what people drew on it, and a data set as a list of pictures that are read when they are needed."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow
from PIL import ImageOps

IMAGES = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp")
Map = NDArray[np.bool_]


class GroundTruthError(ValueError):
    """A file of a data set is missing, cannot be read, or does not fit its picture."""


@dataclass(frozen=True)
class Label:
    """What a data set says of a region beside its pixels. `area` is the annotation's own, which COCO's sizes go by.

    `frequency`: how common LVIS says the category is, `r`, `c` or `f`.
    """

    category: int = 1
    name: str = ""
    area: float | None = None
    crowd: bool = False
    frequency: str = ""


@dataclass(frozen=True)
class Federated:
    """What LVIS says of an image beside its regions: categories that it does not have, and categories of which not all
    regions were drawn."""

    negative: tuple[int, ...] = ()
    not_exhaustive: tuple[int, ...] = ()


@dataclass(frozen=True)
class Picture:
    """A picture and its regions. `ignored` pixels count neither as right nor as wrong.

    `labels`: one for each region, or none. `drawn`: boundaries as each of k people drew them, where there are such.
    `image_id`: the data set's own, if it has one. `federated`: of LVIS.
    """

    name: str
    image: NDArray[np.uint8]  # (H, W, 3) RGB
    regions: Map  # (n, H, W)
    ignored: Map | None = None  # (H, W)
    labels: tuple[Label, ...] = ()
    drawn: Map | None = None  # (k, H, W)
    image_id: int | str | None = None
    federated: Federated | None = None

    def label(self, region: int) -> Label:
        return self.labels[region] if self.labels else Label()

    @property
    def objects(self) -> list[int]:
        """The regions that are no crowds."""
        return [k for k in range(len(self.regions)) if not self.label(k).crowd]

    @property
    def boundaries(self) -> Map:
        """(k, H, W): the boundaries as drawn, or the regions' own outlines as one drawing."""
        if self.drawn is not None:
            return self.drawn
        cross = cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))
        found = np.zeros(self.image.shape[:2], np.bool_)
        for region in self.regions:
            found |= region & (cv2.erode(region.astype(np.uint8), cross, borderValue=1) == 0)
        return found[None]


@dataclass(frozen=True)
class Sample:
    """A picture that is read when it is needed."""

    name: str
    read: Callable[[], Picture]


@dataclass(frozen=True)
class DataSet:
    """Samples in a fixed order."""

    samples: list[Sample]


def read_image(path: Path, size: tuple[int, int] | None = None) -> NDArray[np.uint8]:
    """(H, W, 3) RGB, upright. If only the pixels as stored have the `size` (H, W) of the annotations, as stored."""
    if not path.exists():
        raise GroundTruthError(f"{path} is missing")
    with Pillow.open(path) as file:
        upright = np.asarray(ImageOps.exif_transpose(file).convert("RGB"))
        if size is None or upright.shape[:2] == size:
            return upright
        stored = np.asarray(file.convert("RGB"))
    if stored.shape[:2] != size:
        raise GroundTruthError(f"{path}: the annotations are of {size[1]}x{size[0]}, not {file.width}x{file.height}")
    return stored


def images_in(folder: Path) -> list[Path]:
    """The pictures of a folder, by name."""
    if not folder.is_dir():
        raise GroundTruthError(f"there is no folder {folder}")
    return sorted(p for p in folder.iterdir() if p.suffix.lower() in IMAGES)


def counts(mask: Map, min_share: float) -> bool:
    """Whether a mask has a pixel, and this share of its picture."""
    return bool(mask.any() and mask.mean() >= min_share)


def stacked(masks: list[Map], image: NDArray[np.uint8]) -> Map:
    """(n, H, W), also where there is none."""
    if any(mask.shape != image.shape[:2] for mask in masks):
        raise GroundTruthError("a label map has another size than the picture")
    return np.stack(masks) if masks else np.zeros((0, *image.shape[:2]), np.bool_)
