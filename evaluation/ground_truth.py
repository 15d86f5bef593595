"""Regions that people drew, from data sets of plain label maps.

The maps of a picture `NAME.ext` have file names `NAME.*`: `NAME.png`, `NAME.2.png` (layers that overlap), `NAME.npy`,
`NAME.mat`. A map is integers (H, W) in original pixels, where 0 is not labelled. A .mat file may hold several, also
inside cells and structs, such as BSDS500's `groundTruth{k}.Segmentation`.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow
from PIL import ImageOps

PICTURES = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp")
MAPS = (".png", ".npy", ".mat")


class GroundTruthError(ValueError):
    """A label map cannot be read, or has another size than its picture."""


@dataclass(frozen=True)
class Picture:
    name: str
    image: NDArray[np.uint8]  # (H, W, 3) RGB
    regions: NDArray[np.bool_]  # (n, H, W)


def read_image(path: Path) -> NDArray[np.uint8]:
    """(H, W, 3) RGB, upright."""
    with Pillow.open(path) as file:
        return np.asarray(ImageOps.exif_transpose(file).convert("RGB"))


def read_maps(path: Path) -> list[NDArray[np.integer]]:
    """The label maps in one file. Raises GroundTruthError."""
    if path.suffix == ".npy":
        found = [np.load(path)]
    elif path.suffix == ".mat":
        from scipy.io import loadmat

        found = list(_matrices(loadmat(path)))
    else:
        with Pillow.open(path) as file:
            found = [np.asarray(file)]
    if not found or any(m.ndim != 2 or not np.issubdtype(m.dtype, np.integer) for m in found):
        raise GroundTruthError(f"{path}: a label map is one channel of integers")
    return found


def _matrices(value: object) -> Iterator[NDArray[np.integer]]:
    """Every matrix of whole numbers with both sides above 1, at any depth."""
    if isinstance(value, dict):
        for name, inner in value.items():
            if not str(name).startswith("__") and name != "Boundaries":
                yield from _matrices(inner)
    elif isinstance(value, np.ndarray) and value.dtype.names:
        for name in value.dtype.names:
            if name != "Boundaries":
                yield from _matrices(value[name])
    elif isinstance(value, np.ndarray) and value.dtype == object:
        for inner in value.ravel():
            yield from _matrices(inner)
    elif isinstance(value, np.ndarray) and value.ndim == 2 and min(value.shape) > 1:
        if np.issubdtype(value.dtype, np.integer):
            yield value
        elif np.issubdtype(value.dtype, np.floating) and bool((value == np.round(value)).all()):
            yield value.astype(np.int64)


def regions_of(maps: list[NDArray[np.integer]], min_share: float) -> list[NDArray[np.bool_]]:
    """One mask for each label and map, without those below `min_share` of the picture."""
    masks = [labels == number for labels in maps for number in np.unique(labels) if number != 0]
    return [mask for mask in masks if mask.mean() >= min_share]


def pictures(images: Path, ground_truth: Path, min_share: float) -> Iterator[Picture]:
    """Every picture of `images` that has regions, by name. Raises GroundTruthError on a map of another size."""
    files = sorted(p for p in ground_truth.iterdir() if p.suffix in MAPS)
    for path in sorted(p for p in images.iterdir() if p.suffix.lower() in PICTURES):
        own = [f for f in files if f.name.startswith(path.stem + ".")]
        if not own:
            continue
        image = read_image(path)
        maps = [labels for f in own for labels in read_maps(f)]
        if any(labels.shape != image.shape[:2] for labels in maps):
            raise GroundTruthError(f"{path.name}: a label map has another size than the picture")
        masks = regions_of(maps, min_share)
        if masks:
            yield Picture(path.stem, image, np.stack(masks))
