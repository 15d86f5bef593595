"""Regions from a COCO or LVIS file of annotations: polygons, run lengths, or compressed run lengths.

LVIS has no `file_name`; the last parts of its `coco_url` name the file. Images may lie in the folder itself or below
it, as in `val2017/000000000139.jpg`.
"""

import json
from collections import defaultdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from evaluation.data.picture import DataSet, GroundTruthError, Label, Map, Picture, Sample, read_image, stacked


def coco(images: Path, annotations: Path, min_share: float) -> DataSet:
    """Every image of the file that has annotations, in the file's order."""
    try:
        told = json.loads(annotations.read_text())
        rows, listed = told["annotations"], told["images"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise GroundTruthError(f"{annotations} is no file of COCO annotations: {error!r}") from error
    own: dict[int, list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        own[row["image_id"]].append(row)
    names = {c["id"]: str(c["name"]) for c in told.get("categories", ())}
    samples = [
        Sample(named(image), partial(_read, images, image, own[image["id"]], names, min_share))
        for image in listed
        if own[image["id"]]
    ]
    return DataSet(samples)


def named(image: dict[str, Any]) -> str:
    """The file of an image, as its row names it."""
    if "file_name" in image:
        return str(image["file_name"])
    return "/".join(str(image["coco_url"]).split("/")[-2:])


def mask_of(segmentation: Any, height: int, width: int) -> Map:
    """A segmentation of any of COCO's three forms → bool (H, W)."""
    from pycocotools import mask

    if isinstance(segmentation, list):
        rle = mask.merge(mask.frPyObjects(segmentation, height, width))
    elif isinstance(segmentation["counts"], list):
        rle = mask.frPyObjects(segmentation, height, width)
    else:
        rle = segmentation
    return np.asarray(mask.decode(rle), np.bool_)


def _read(
    folder: Path, image: dict[str, Any], rows: list[dict[str, Any]], names: dict[int, str], min_share: float
) -> Picture:
    size = image["height"], image["width"]
    pixels = read_image(_file(folder, named(image)), size)
    drawn = [(mask_of(row["segmentation"], *size), row) for row in rows]
    kept = [(mask, row) for mask, row in drawn if mask.mean() >= min_share and mask.any()]
    labels = tuple(_label(row, names) for _, row in kept)
    regions = stacked([mask for mask, _ in kept], pixels)
    return Picture(named(image), pixels, regions, labels=labels, image_id=image["id"])


def _label(row: dict[str, Any], names: dict[int, str]) -> Label:
    category = row.get("category_id", 1)
    return Label(category, names.get(category, ""), row.get("area"), bool(row.get("iscrowd", 0)))


def _file(folder: Path, name: str) -> Path:
    """`folder/name`, or `folder` with the last part of the name alone."""
    return folder / name if (folder / name).exists() else folder / Path(name).name
