"""SA-1B: beside each image a JSON file with its masks, or a file of JSON lines, as `sa1b` results are."""

import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from evaluation.data.coco import mask_of
from evaluation.data.picture import (
    DataSet,
    GroundTruthError,
    Label,
    Picture,
    Sample,
    counts,
    images_in,
    read_image,
    stacked,
)


def sa1b(images: Path, ground_truth: Path, min_share: float) -> DataSet:
    """The images of a folder, or of the folders in it, or those that a .jsonl file names."""
    if ground_truth.is_file():
        rows = ((row["image"]["file_name"], row) for row in _lines(ground_truth))
        return DataSet([Sample(name, partial(_read, images / name, row, min_share)) for name, row in rows])
    paths = images_in(images)
    paths += [p for folder in sorted(images.iterdir()) if folder.is_dir() for p in images_in(folder)]
    truth = {p: ground_truth / p.relative_to(images).with_suffix(".json") for p in paths}
    found = [(p, t) for p, t in truth.items() if t.exists()]
    if not found:
        raise GroundTruthError(f"no image of {images} has a file NAME.json in {ground_truth}")
    return DataSet([Sample(str(p.relative_to(images)), partial(_read, p, t, min_share)) for p, t in found])


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    """The lines with images; others say what failed, and what the job was."""
    with path.open() as file:
        yield from (row for row in map(json.loads, file) if "image" in row)


def _read(path: Path, told: Path | dict[str, Any], min_share: float) -> Picture:
    row = json.loads(told.read_text()) if isinstance(told, Path) else told
    size = row["image"]["height"], row["image"]["width"]
    image = read_image(path, size)
    masks = [(mask_of(a["segmentation"], *size), a["area"]) for a in row["annotations"]]
    kept = [(mask, area) for mask, area in masks if counts(mask, min_share)]
    return Picture(
        path.name, image, stacked([mask for mask, _ in kept], image), labels=tuple(Label(area=a) for _, a in kept)
    )
