"""Rendered scenes on disk, in chunks of memory-mapped .npy files.

Rendering a scene is slow, so training uses each several times, with other crops, flips and colours.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from training.photographs import Photographs
from training.scenes import SIDE, Scene, render_scene, scene_bank

CHUNK = 500
HELD_OUT_SEED = 1_000_000_000  # seeds of held-out scenes count up from here, those of training from 0
PHOTOGRAPHED_SEED = 3_000_000_000  # and those of scenes with photographs from here


def default_folder() -> Path:
    """The folder for scenes, state and logs: maskworks/training in $XDG_CACHE_HOME or ~/.cache."""
    cache = os.environ.get("XDG_CACHE_HOME")
    return (Path(cache) if cache else Path.home() / ".cache") / "maskworks" / "training"


@dataclass(frozen=True)
class Chunk:
    images: NDArray[np.uint8]  # (n, SIDE, SIDE, 3)
    leaves: NDArray[np.uint8]  # (n, SIDE, SIDE)
    tables: NDArray[np.uint8]  # (n, 256, 4)


def render_chunk(
    folder: Path,
    number: int,
    bank: NDArray[np.uint8],
    first_seed: int,
    size: int = CHUNK,
    photographs: Photographs | None = None,
) -> None:
    """Render one chunk. Files get their names when they are complete, so an interruption leaves no partial chunk."""
    images = np.empty((size, SIDE, SIDE, 3), np.uint8)
    leaves = np.empty((size, SIDE, SIDE), np.uint8)
    tables = np.empty((size, 256, 4), np.uint8)
    for k in range(size):
        scene = render_scene(first_seed + number * CHUNK + k, bank, photographs)
        images[k], leaves[k], tables[k] = scene.image, scene.leaves, scene.table
    _write(folder, number, images, leaves, tables)


def add_scenes(folder: Path, scenes: Sequence[Scene]) -> int:
    """Add a chunk of these scenes, which fit into memory. One whose picture is there takes its place.

    Returns how many pictures are new.
    """
    given = {scene.image.tobytes(): scene for scene in scenes}
    kept = Store(folder).chunks
    for number, chunk in enumerate(kept):
        found = {k: given.pop(key) for k, image in enumerate(chunk.images) if (key := image.tobytes()) in given}
        if found:
            leaves, tables = np.array(chunk.leaves), np.array(chunk.tables)
            for k, scene in found.items():
                leaves[k], tables[k] = scene.leaves, scene.table
            _write(folder, number, np.array(chunk.images), leaves, tables)
    if given:
        columns = ([getattr(scene, name) for scene in given.values()] for name in ("image", "leaves", "table"))
        _write(folder, len(kept), *map(np.stack, columns))
    return len(given)


def _write(
    folder: Path, number: int, images: NDArray[np.uint8], leaves: NDArray[np.uint8], tables: NDArray[np.uint8]
) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, array in (("leaves", leaves), ("tables", tables), ("images", images)):
        part = folder / f".{name}-{number:04d}.part.npy"
        np.save(part, array)
        part.rename(folder / f"{name}-{number:04d}.npy")


def render(folder: Path, scenes: int, first_seed: int = 0, photographs: Photographs | None = None) -> None:
    """Render until there are at least `scenes`, and keep chunks that exist. Fewer than a chunk make a smaller one."""
    cv2.setNumThreads(1)
    bank = scene_bank()
    for number in range(-(-scenes // CHUNK)):
        if not (folder / f"images-{number:04d}.npy").exists():
            render_chunk(folder, number, bank, first_seed, min(CHUNK, scenes), photographs)


class Store:
    """Random access to the rendered chunks of a folder. `refresh` finds chunks that were rendered later."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.chunks: list[Chunk] = []
        self.refresh()

    def __len__(self) -> int:
        return sum(len(chunk.images) for chunk in self.chunks)

    def refresh(self) -> None:
        while (self.folder / f"images-{len(self.chunks):04d}.npy").exists():
            number = len(self.chunks)
            load = [
                np.load(self.folder / f"{name}-{number:04d}.npy", mmap_mode="r")
                for name in ("images", "leaves", "tables")
            ]
            self.chunks.append(Chunk(*load))

    def __getitem__(self, index: int) -> Scene:
        k, number = index, 0
        while k >= len(self.chunks[number].images):
            k -= len(self.chunks[number].images)
            number += 1
        chunk = self.chunks[number]
        return Scene(np.array(chunk.images[k]), np.array(chunk.leaves[k]), np.array(chunk.tables[k]))
