"""Masks that were accepted → scenes that `python -m training` uses beside its own."""

from collections.abc import Iterator
from pathlib import Path

from evaluation.data.picture import DataSet, Picture
from training.annotated import scene_of
from training.scenes import Scene
from training.store import add_scenes


def add_examples(folder: Path, data: DataSet) -> int:
    """Add a data set to the folder of a training run. A picture that is there gets the new masks.

    Returns how many pictures are new.
    """
    return add_scenes(folder / "annotated", list(_scenes(data)))


def _scenes(data: DataSet) -> Iterator[Scene]:
    for sample in data.samples:
        picture: Picture = sample.read()
        if len(picture.regions):
            yield scene_of(picture.image, picture.regions)
