"""Published data sets, in the folders in which they are distributed to those who measure interactive segmentation.

GrabCut and Berkeley have one object a picture: 255 is the object, and 128 is not counted. SBD has numbered objects. A
frame of DAVIS is one object, whatever its numbers.
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image as Pillow

from evaluation.data.label_maps import read_maps, regions_of
from evaluation.data.picture import (
    DataSet,
    GroundTruthError,
    Map,
    Picture,
    Sample,
    counts,
    images_in,
    read_image,
    stacked,
)

IGNORED, OBJECT = 128, 128  # equal to it, above it


def grabcut(root: Path, min_share: float) -> DataSet:
    """`data_GT` and `boundary_GT`."""
    return _paired(root / "data_GT", root / "boundary_GT", partial(_one_object, min_share=min_share))


def berkeley(root: Path, min_share: float) -> DataSet:
    """`images` and `masks`."""
    return _paired(root / "images", root / "masks", partial(_one_object, min_share=min_share))


def sbd(root: Path, split: str, min_share: float) -> DataSet:
    """`img` and `inst`, the pictures that `SPLIT.txt` lists."""
    try:
        names = (root / f"{split}.txt").read_text().split()
    except OSError as error:
        raise GroundTruthError(f"{root / split}.txt must list the pictures, one name a line") from error
    return DataSet(
        [
            Sample(name, partial(_numbered, root / "img" / f"{name}.jpg", root / "inst" / f"{name}.mat", min_share))
            for name in names
        ]
    )


def davis(root: Path, min_share: float) -> DataSet:
    """`img` and `gt`, or `JPEGImages/480p` and `Annotations/480p` with a folder for each sequence."""
    frame = partial(_frame, min_share=min_share)
    if (root / "img").is_dir():
        return _paired(root / "img", root / "gt", frame)
    images, truth = root / "JPEGImages" / "480p", root / "Annotations" / "480p"
    if not images.is_dir():
        raise GroundTruthError(f"{root} has neither img nor JPEGImages/480p")
    folders = [folder for folder in sorted(images.iterdir()) if folder.is_dir()]
    each = [_paired(folder, truth / folder.name, frame, f"{folder.name}/") for folder in folders]
    return DataSet([sample for part in each for sample in part.samples])


def bsds(root: Path, split: str, min_share: float) -> DataSet:
    """`images/SPLIT` and `groundTruth/SPLIT`, also inside `BSDS500/data` as the archive has them."""
    inner = [root, root / "data", root / "BSDS500" / "data", root / "BSR" / "BSDS500" / "data"]
    place = next((p for p in inner if (p / "groundTruth").is_dir()), root)
    return _paired(place / "images" / split, place / "groundTruth" / split, partial(_people, min_share=min_share))


def _paired(images: Path, truth: Path, read: Callable[[Path, Path], Picture], prefix: str = "") -> DataSet:
    """Pictures and maps whose names agree up to the first dot."""
    if not truth.is_dir():
        raise GroundTruthError(f"there is no folder {truth}")
    maps = {p.name.partition(".")[0]: p for p in sorted(truth.iterdir())}
    pairs = [(p, maps.get(p.name.partition(".")[0])) for p in images_in(images)]
    return DataSet([Sample(prefix + p.stem, partial(read, p, m)) for p, m in pairs if m is not None])


def _pixels(path: Path) -> np.ndarray:
    """One channel, or the largest of each pixel's channels."""
    with Pillow.open(path) as file:
        found = np.asarray(file).astype(np.int64)
    return found if found.ndim == 2 else np.asarray(found[..., :3].max(2))


def _picture(path: Path, masks: list[Map], ignored: Map | None, min_share: float) -> Picture:
    image = read_image(path)
    return Picture(path.stem, image, stacked([m for m in masks if counts(m, min_share)], image), ignored)


def _one_object(path: Path, truth: Path, min_share: float) -> Picture:
    values = _pixels(truth)
    return _picture(path, [values > OBJECT], values == IGNORED, min_share)


def _frame(path: Path, truth: Path, min_share: float) -> Picture:
    return _picture(path, [_pixels(truth) > 0], None, min_share)


def _numbered(path: Path, truth: Path, min_share: float) -> Picture:
    if not truth.exists():
        raise GroundTruthError(f"{truth} is missing")
    return _picture(path, regions_of(read_maps(truth), min_share), None, min_share)


def _people(path: Path, truth: Path, min_share: float) -> Picture:
    """Each person's regions and boundaries."""
    image = read_image(path)
    drawn = stacked([m > 0 for m in read_maps(truth, boundaries=True)], image)
    return Picture(path.stem, image, stacked(regions_of(read_maps(truth), min_share), image), drawn=drawn)
