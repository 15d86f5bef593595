"""Scenes rendered ahead of time, on disk: chunks of up to 500 as plain .npy files that are memory-mapped back.

Rendering costs a core about 200 ms a scene, reading one costs nothing, and training sees each several times
under fresh crops, flips and colours. The folder is outside git; `default_folder` says where.
"""

import os
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from training.scenes import SIDE, Scene, render_scene, scene_bank

CHUNK = 500
HELD_OUT_SEED = 1_000_000_000  # training seeds count up from 0; scenes held out for measuring, from here


def default_folder() -> Path:
    """Where scenes, optimiser state and logs live: $XDG_CACHE_HOME or ~/.cache, then maskworks/training."""
    cache = os.environ.get("XDG_CACHE_HOME")
    return (Path(cache) if cache else Path.home() / ".cache") / "maskworks" / "training"


@dataclass(frozen=True)
class Chunk:
    images: NDArray[np.uint8]  # (n, SIDE, SIDE, 3)
    leaves: NDArray[np.uint8]  # (n, SIDE, SIDE)
    tables: NDArray[np.uint8]  # (n, 256, 4)


def render_chunk(folder: Path, number: int, bank: NDArray[np.uint8], first_seed: int, size: int = CHUNK) -> None:
    """Render one chunk; the files take their names only when complete, so an interrupted run leaves no half."""
    folder.mkdir(parents=True, exist_ok=True)
    images = np.empty((size, SIDE, SIDE, 3), np.uint8)
    leaves = np.empty((size, SIDE, SIDE), np.uint8)
    tables = np.empty((size, 256, 4), np.uint8)
    for k in range(size):
        scene = render_scene(first_seed + number * CHUNK + k, bank)
        images[k], leaves[k], tables[k] = scene.image, scene.leaves, scene.table
    for name, array in (("leaves", leaves), ("tables", tables), ("images", images)):
        part = folder / f".{name}-{number:04d}.part.npy"
        np.save(part, array)
        part.rename(folder / f"{name}-{number:04d}.npy")


def render(folder: Path, scenes: int, first_seed: int = 0) -> None:
    """Render until at least `scenes` are there, keeping chunks already there; fewer than a chunk make a small one."""
    cv2.setNumThreads(1)
    bank = scene_bank()
    for number in range(-(-scenes // CHUNK)):
        if not (folder / f"images-{number:04d}.npy").exists():
            render_chunk(folder, number, bank, first_seed, min(CHUNK, scenes))


class Store:
    """Random access to the rendered chunks of a folder; chunks rendered later are found by `refresh`."""

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
        size = len(self.chunks[0].images)  # every chunk has the first one's size
        chunk, k = self.chunks[index // size], index % size
        return Scene(np.array(chunk.images[k]), np.array(chunk.leaves[k]), np.array(chunk.tables[k]))
