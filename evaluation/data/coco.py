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

from evaluation.data.picture import (
    DataSet,
    Federated,
    GroundTruthError,
    Label,
    Map,
    Picture,
    Sample,
    counts,
    read_image,
    stacked,
)


class Annotated(NamedTuple):
    """An image and its annotations, which are rows of the file. `name`: its file, as its row names it."""

    name: str
    size: tuple[int, int]
    image_id: int | str
    rows: list[dict[str, Any]]
    categories: dict[int, dict[str, Any]]
    federated: Federated | None


def coco(images: Path, annotations: Path, min_share: float, empty: bool = False) -> DataSet:
    """Every image of the file that has annotations, in the file's order; also the others where `empty` ones count."""
    found = annotated(annotations, empty)
    return DataSet([Sample(one.name, partial(_read, images, one, min_share)) for one in found])


def annotated(path: Path, empty: bool = False) -> list[Annotated]:
    """The images of a file that have annotations, or all of them. Raises GroundTruthError."""
    own: dict[int | str, list[dict[str, Any]]] = defaultdict(list)
    try:
        told = json.loads(path.read_text())
        for row in told["annotations"]:
            own[row["image_id"]].append(row)
        known = {c["id"]: c for c in told.get("categories", ())}
        return [
            Annotated(_named(image), _size(image), image["id"], own.get(image["id"], []), known, _federated(image))
            for image in told["images"]
            if empty or image["id"] in own
        ]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise GroundTruthError(f"{path} is no file of COCO annotations: {error!r}") from error


def _size(image: dict[str, Any]) -> tuple[int, int]:
    return image["height"], image["width"]


def _federated(image: dict[str, Any]) -> Federated | None:
    """None: the file is COCO's, in which every category was looked for in every image."""
    if "neg_category_ids" not in image:
        return None
    return Federated(tuple(image["neg_category_ids"]), tuple(image.get("not_exhaustive_category_ids", ())))


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
    return Picture(one.name, pixels, regions, labels=labels, image_id=one.image_id, federated=one.federated)


def _label(row: dict[str, Any], known: dict[int, dict[str, Any]]) -> Label:
    number = row.get("category_id", 1)
    category = known.get(number, {})
    name, frequency = str(category.get("name", "")), str(category.get("frequency", ""))
    return Label(number, name, row.get("area"), bool(row.get("iscrowd", 0)), frequency)


def _file(folder: Path, name: str) -> Path:
    """`folder/name`, or `folder` with the last part of the name alone."""
    return folder / name if (folder / name).exists() else folder / Path(name).name
