"""Regions that people drew, from data sets of plain label maps.

The maps of a picture `NAME.ext` have file names `NAME.*`: `NAME.png`, `NAME.2.png` (layers that overlap), `NAME.npy`,
`NAME.mat`. A map is integers (H, W) in original pixels, where 0 is not labelled. A .mat file may hold several, also
inside cells and structs, such as BSDS500's `groundTruth{k}.Segmentation`.

A file `names.json` beside the maps may say what the labels are: `{"NAME.png": {"1": "a cup", "2": "a spoon"}}`. `*`
stands for every label that is not named. The same name is the same category.
"""

import json
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow

from evaluation.data.picture import (
    DataSet,
    GroundTruthError,
    Label,
    Map,
    Picture,
    Sample,
    images_in,
    read_image,
    stacked,
)

MAPS = (".png", ".npy", ".mat")
BOUNDARIES = "Boundaries"
NAMES: Final = "names.json"
Names = Mapping[str, Mapping[str, str]]
"""The file of a map → its labels → what they are."""


def label_maps(images: Path, ground_truth: Path, min_share: float) -> DataSet:
    """Every picture of `images` that has a map, by name."""
    if not ground_truth.is_dir():
        raise GroundTruthError(f"there is no folder {ground_truth}")
    files = sorted(p for p in ground_truth.iterdir() if p.suffix in MAPS)
    names = _names(ground_truth / NAMES)
    samples = []
    for path in images_in(images):
        own = [f for f in files if f.name.startswith(path.stem + ".")]
        if own:
            samples.append(Sample(path.stem, partial(_read, path, own, min_share, names)))
    if not samples:
        raise GroundTruthError(f"no picture NAME.ext of {images} has NAME.png, NAME.npy or NAME.mat in {ground_truth}")
    return DataSet(samples)


def pictures(images: Path, ground_truth: Path, min_share: float) -> Iterator[Picture]:
    """Every picture of `label_maps` that has a region."""
    found = (sample.read() for sample in label_maps(images, ground_truth, min_share).samples)
    return (picture for picture in found if len(picture.regions))


def _names(path: Path) -> Names:
    """Empty where there is no such file."""
    if not path.exists():
        return {}
    try:
        found = json.loads(path.read_text())
        return {file: {str(k): str(v) for k, v in labels.items()} for file, labels in found.items()}
    except (ValueError, AttributeError) as error:
        raise GroundTruthError(f"{path} does not say what labels are: {error!r}") from error


def _read(path: Path, files: list[Path], min_share: float, names: Names) -> Picture:
    image = read_image(path)
    found = [(f.name, number, mask) for f in files for number, mask in labelled(read_maps(f), min_share)]
    regions = stacked([mask for _, _, mask in found], image)
    if not names:
        return Picture(path.stem, image, regions)
    known = sorted({name for labels in names.values() for name in labels.values()})
    labels = []
    for file, number, _ in found:
        own = names.get(file, {})
        name = own.get(str(number), own.get("*", ""))
        labels.append(Label(known.index(name) + 1 if name else 0, name))
    return Picture(path.stem, image, regions, labels=tuple(labels))


def read_maps(path: Path, boundaries: bool = False) -> list[NDArray[np.integer]]:
    """The label maps in one file, or from a .mat file its maps of boundaries. Raises GroundTruthError."""
    if path.suffix == ".npy":
        found = [np.load(path)]
    elif path.suffix == ".mat":
        from scipy.io import loadmat

        found = list(_matrices(loadmat(path), boundaries))
    else:
        with Pillow.open(path) as file:
            found = [np.asarray(file)]
    if not found or any(m.ndim != 2 or not np.issubdtype(m.dtype, np.integer) for m in found):
        raise GroundTruthError(f"{path}: a label map is one channel of integers")
    return found


def _matrices(value: object, boundaries: bool, inside: bool = False) -> Iterator[NDArray[np.integer]]:
    """Matrices of whole numbers with both sides above 1, at any depth: those in a field Boundaries, or the others."""
    if isinstance(value, dict):
        for name, inner in value.items():
            if not str(name).startswith("__"):
                yield from _matrices(inner, boundaries, inside or name == BOUNDARIES)
    elif isinstance(value, np.ndarray) and value.dtype.names:
        for name in value.dtype.names:
            yield from _matrices(value[name], boundaries, inside or name == BOUNDARIES)
    elif isinstance(value, np.ndarray) and value.dtype == object:
        for inner in value.ravel():
            yield from _matrices(inner, boundaries, inside)
    elif inside == boundaries and isinstance(value, np.ndarray) and value.ndim == 2 and min(value.shape) > 1:
        if np.issubdtype(value.dtype, np.integer):
            yield value
        elif np.issubdtype(value.dtype, np.floating) and bool((value == np.round(value)).all()):
            yield value.astype(np.int64)


def regions_of(maps: list[NDArray[np.integer]], min_share: float) -> list[Map]:
    """The masks of `labelled`."""
    return [mask for _, mask in labelled(maps, min_share)]


def labelled(maps: list[NDArray[np.integer]], min_share: float) -> list[tuple[int, Map]]:
    """A label and its mask, for each label and map, without those below `min_share` of the picture."""
    masks = [(int(number), labels == number) for labels in maps for number in np.unique(labels) if number != 0]
    return [(number, mask) for number, mask in masks if mask.mean() >= min_share]
