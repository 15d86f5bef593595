"""Regions from a COCO or LVIS file of annotations: polygons, run lengths, or compressed run lengths.

LVIS has no `file_name`; the last parts of its `coco_url` name the file. Images may lie in the folder itself or below
it, as in `val2017/000000000139.jpg`.
"""

import json
from collections import defaultdict
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from evaluation.data.picture import DataSet, GroundTruthError, Label, Map, Picture, Sample, counts, read_image, stacked


class Annotated(NamedTuple):
    """An image with annotations, which are rows of the file. `name`: its file, as its row names it."""

    name: str
    size: tuple[int, int]
    image_id: int | str
    rows: list[dict[str, Any]]
    categories: dict[int, str]


def coco(images: Path, annotations: Path, min_share: float) -> DataSet:
    """Every image of the file that has annotations, in the file's order."""
    return DataSet([Sample(one.name, partial(_read, images, one, min_share)) for one in annotated(annotations)])


def annotated(path: Path) -> list[Annotated]:
    """The images of a file that have annotations. Raises GroundTruthError."""
    own: dict[int | str, list[dict[str, Any]]] = defaultdict(list)
    try:
        told = json.loads(path.read_text())
        for row in told["annotations"]:
            own[row["image_id"]].append(row)
        names = {c["id"]: str(c["name"]) for c in told.get("categories", ())}
        return [
            Annotated(_named(image), (image["height"], image["width"]), image["id"], own[image["id"]], names)
            for image in told["images"]
            if image["id"] in own
        ]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise GroundTruthError(f"{path} is no file of COCO annotations: {error!r}") from error


def _named(image: dict[str, Any]) -> str:
    if "file_name" in image:
        return str(image["file_name"])
    return "/".join(str(image["coco_url"]).split("/")[-2:])


def mask_of(segmentation: Any, height: int, width: int) -> Map:
    """A segmentation of any of COCO's three forms → bool (H, W). Raises GroundTruthError."""
    from pycocotools import mask

    try:
        if isinstance(segmentation, list):
            rle = mask.merge(mask.frPyObjects(segmentation, height, width))
        elif isinstance(segmentation["counts"], list):
            rle = mask.frPyObjects(segmentation, height, width)
        else:
            rle = segmentation
        return np.asarray(mask.decode(rle), np.bool_)
    except (KeyError, TypeError, ValueError) as error:
        raise GroundTruthError(f"a segmentation is in none of COCO's forms: {error!r}") from error


def _read(folder: Path, one: Annotated, min_share: float) -> Picture:
    pixels = read_image(_file(folder, one.name), one.size)
    drawn = [(mask_of(row["segmentation"], *one.size), row) for row in one.rows]
    kept = [(mask, row) for mask, row in drawn if counts(mask, min_share)]
    labels = tuple(_label(row, one.categories) for _, row in kept)
    regions = stacked([mask for mask, _ in kept], pixels)
    return Picture(one.name, pixels, regions, labels=labels, image_id=one.image_id)


def _label(row: dict[str, Any], names: dict[int, str]) -> Label:
    category = row.get("category_id", 1)
    return Label(category, names.get(category, ""), row.get("area"), bool(row.get("iscrowd", 0)))


def _file(folder: Path, name: str) -> Path:
    """`folder/name`, or `folder` with the last part of the name alone."""
    return folder / name if (folder / name).exists() else folder / Path(name).name
