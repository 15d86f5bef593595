"""Batches: scenes cropped and recoloured, prompts drawn on them, and the right masks of every prompt.

Coordinates are xy in model pixels, 0..S. Targets lie on the decoder's low-resolution grid, S/4 a side. A click has up
to three right masks: whole, part and fine. A box has one.
"""

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from training.scenes import NOWHERE, Scene
from training.store import Store

PADDING, BACKGROUND, FOREGROUND, CORNER_0, CORNER_1 = -1, 0, 1, 2, 3  # kinds of sparse tokens
LEVELS = 3
MIN_AREA = 40  # model pixels; smaller things get no prompt
BOX_SHARE = 0.5
LOOSE = (0.0, 0.08)  # range of a box's error, one sigma, as a share of its sides


@dataclass(frozen=True)
class Batch:
    pixels: Tensor  # (B, 3, S, S) float32, normalised
    points: Tensor  # (B, n, T, 2) float32 xy in model pixels
    kinds: Tensor  # (B, n, T) int64: PADDING … CORNER_1
    targets: Tensor  # (B, n, LEVELS, S/4, S/4) float32, share of the cell
    valid: Tensor  # (B, n, LEVELS) bool: whether the level is a right answer to the prompt
    sampled: Tensor  # (B, n) int64: the level for the single-mask token

    def first(self, prompts: int) -> "Batch":
        """The same images with only their first `prompts` prompts."""
        per_prompt = (self.points, self.kinds, self.targets, self.valid, self.sampled)
        return Batch(self.pixels, *(tensor[:, :prompts] for tensor in per_prompt))


@dataclass(frozen=True)
class View:
    """One augmented scene."""

    image: NDArray[np.uint8]  # (S, S, 3)
    size: tuple[int, int]  # h', w' before padding
    leaves: NDArray[np.uint8]  # (S, S)
    table: NDArray[np.uint8]  # (256, 4)


def augment(rng: np.random.Generator, scene: Scene, side: int) -> View:
    """A random window of the scene, mirrored, recoloured, resized to long side `side` and padded."""
    full = scene.leaves.shape[0]
    extent = full * float(rng.uniform(0.55, 1.0)) if rng.random() < 0.7 else float(full)
    aspect = float(np.exp(rng.uniform(-0.45, 0.45))) if rng.random() < 0.5 else 1.0
    h, w = int(extent * min(1.0, aspect)), int(extent * min(1.0, 1 / aspect))
    y, x = int(rng.integers(full - h + 1)), int(rng.integers(full - w + 1))
    scale = side / max(h, w)
    tall, wide = max(1, int(h * scale + 0.5)), max(1, int(w * scale + 0.5))
    window = (slice(y, y + h), slice(x, x + w))
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    image = cv2.resize(scene.image[window], (wide, tall), interpolation=method)
    leaves = cv2.resize(scene.leaves[window], (wide, tall), interpolation=cv2.INTER_NEAREST_EXACT)
    if rng.random() < 0.5:
        image, leaves = image[:, ::-1], leaves[:, ::-1]
    if rng.random() < 0.25:
        image, leaves = image[::-1], leaves[::-1]
    canvas = np.zeros((side, side, 3), np.uint8)
    canvas[:tall, :wide] = _recolour(rng, np.ascontiguousarray(image))
    padded = np.full((side, side), NOWHERE, np.uint8)
    padded[:tall, :wide] = leaves
    return View(canvas, (tall, wide), padded, scene.table)


def _recolour(rng: np.random.Generator, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    if rng.random() < 0.4:
        image = image[..., rng.permutation(3)]
    if rng.random() < 0.08:
        image = np.repeat(image.mean(-1, keepdims=True).astype(np.uint8), 3, -1)
    if rng.random() < 0.7:
        steps = np.linspace(0, 1, 256)[:, None]
        gamma = np.exp(rng.normal(0, 0.25) + rng.normal(0, 0.08, 3))
        gain = np.exp(rng.normal(0, 0.1, 3))
        curves = np.clip(255 * gain * steps**gamma, 0, 255).astype(np.uint8)
        image = np.stack([curves[:, c][image[..., c]] for c in range(3)], -1)
    return image


class Pixels:
    """The pixels of a view, grouped by leaf: areas, boxes and random picks without reading masks."""

    def __init__(self, leaves: NDArray[np.uint8]) -> None:
        flat = leaves.ravel()
        self.side = leaves.shape[1]
        self.order = np.argsort(flat, kind="stable")
        self.areas = np.bincount(flat, minlength=256)
        self.starts = np.concatenate([[0], np.cumsum(self.areas)[:-1]])
        edges = cv2.morphologyEx(leaves, cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8)) == 0
        self.depth = cv2.distanceTransform(edges.astype(np.uint8), cv2.DIST_L2, 3).ravel()
        present = np.flatnonzero(self.areas)
        x, y = self.order % self.side, self.order // self.side
        at = self.starts[present]
        self.boxes = np.zeros((256, 4))
        self.boxes[:, :2] = self.side
        self.boxes[present, 0] = np.minimum.reduceat(x, at)
        self.boxes[present, 1] = np.minimum.reduceat(y, at)
        self.boxes[present, 2] = np.maximum.reduceat(x, at) + 1
        self.boxes[present, 3] = np.maximum.reduceat(y, at) + 1

    def pick(self, rng: np.random.Generator, leaf: int) -> tuple[int, int]:
        """xy of a random pixel of this leaf, or the deepest of four, so that clicks near the middle are common."""
        tries = 1 if rng.random() < 0.4 else 4
        found = self.order[self.starts[leaf] + rng.integers(self.areas[leaf], size=tries)]
        best = int(found[self.depth[found].argmax()])
        return best % self.side, best // self.side

    def box(self, members: NDArray[np.bool_]) -> NDArray[np.float64]:
        """x0 y0 x1 y1 around the leaves of a (256,) membership."""
        boxes = self.boxes[members & (self.areas > 0)]
        return np.concatenate([boxes[:, :2].min(0), boxes[:, 2:].max(0)])


def right_masks(table: NDArray[np.uint8], areas: NDArray[np.intp], leaf: int) -> NDArray[np.bool_]:
    """(LEVELS, 256) membership of leaves in the whole, the part and the fine detail around `leaf`.

    A level is all False if it is absent, too small, or nearly the same as the level above it.
    """
    members = np.zeros((LEVELS, 256), np.bool_)
    above = np.inf
    for level in range(LEVELS):
        number = table[leaf, level]
        if number == 0:
            continue
        chosen = (table[:, level] == number) & (areas > 0)
        area = float(areas[chosen].sum())
        if area >= MIN_AREA and area < 0.92 * above:
            members[level] = chosen
            above = area
    return members


def low_resolution(leaves: NDArray[np.uint8], members: NDArray[np.bool_]) -> NDArray[np.float32]:
    """(K, 256) memberships → (K, S/4, S/4) in 0..1: the share of each 4x4 cell that is inside."""
    cells = leaves.shape[0] // 4
    present = np.flatnonzero(np.bincount(leaves.ravel(), minlength=256))
    number = np.zeros(256, np.int32)
    number[present] = np.arange(len(present))
    cell = np.repeat(np.arange(cells, dtype=np.int32), 4)
    at = (cell[:, None] * cells + cell) * len(present) + number[leaves]
    counts = np.bincount(at.ravel(), minlength=cells * cells * len(present)).reshape(-1, len(present))
    cover = members[:, present].astype(np.float32) @ (counts.T / np.float32(16)).astype(np.float32)
    return np.asarray(cover.reshape(-1, cells, cells), np.float32)


def draw_prompts(
    rng: np.random.Generator, view: View, count: int
) -> tuple[NDArray[np.float32], NDArray[np.int64], NDArray[np.bool_], NDArray[np.int64]]:
    """Clicks and boxes: points (n, 2, 2), kinds (n, 2), members (n, LEVELS, 256), sampled (n)."""
    pixels = Pixels(view.leaves)
    areas = pixels.areas.copy()
    areas[NOWHERE] = 0
    weight = np.sqrt(areas) * (areas >= MIN_AREA / 2) * np.where(view.table[:, 3] > 0, 0.5, 1.0)
    weight = weight if weight.any() else areas.astype(np.float64)
    points = np.zeros((count, 2, 2), np.float32)
    kinds = np.full((count, 2), PADDING, np.int64)
    members = np.zeros((count, LEVELS, 256), np.bool_)
    sampled = np.zeros(count, np.int64)
    if not weight.any():  # nothing in the window has a mask, so no answer is right
        kinds[:, 0] = FOREGROUND
        return points, kinds, members, sampled
    leaves = rng.choice(256, count, p=weight / weight.sum())
    for k, leaf in enumerate(leaves):
        members[k] = right_masks(view.table, areas, int(leaf))
        levels = np.flatnonzero(members[k].any(1))
        if len(levels) == 0:
            points[k, 0], kinds[k, 0] = pixels.pick(rng, int(leaf)), FOREGROUND
            continue
        odds = np.array([0.5, 0.3, 0.2])[levels]
        sampled[k] = rng.choice(levels, p=odds / odds.sum())
        if rng.random() < BOX_SHARE:
            box = pixels.box(members[k, sampled[k]])
            spread = rng.uniform(*LOOSE) * np.tile(box[2:] - box[:2], 2)
            box = np.clip(box + np.clip(rng.normal(0, 1, 4) * spread, -8, 8), 0, pixels.side)
            points[k], kinds[k] = box.reshape(2, 2), (CORNER_0, CORNER_1)
            members[k, np.arange(LEVELS) != sampled[k]] = False
        else:
            points[k, 0], kinds[k, 0] = pixels.pick(rng, int(leaf)), FOREGROUND
    return points, kinds, members, sampled


def make_batch(
    rng: np.random.Generator,
    store: Store,
    images: int,
    prompts: int,
    side: int,
    mean: tuple[float, float, float],
    std: tuple[float, float, float],
    scenes: int | None = None,
) -> Batch:
    """A batch of `images` scenes with `prompts` prompts each, drawn from the first `scenes` of the store."""
    count = min(scenes or len(store), len(store))
    views = [augment(rng, store[int(rng.integers(count))], side) for _ in range(images)]
    rows = [_example(rng, view, prompts, mean, std) for view in views]
    pixels, points, kinds, targets, valid, sampled = (
        torch.from_numpy(np.stack(column)) for column in zip(*rows, strict=True)
    )
    return Batch(pixels.permute(0, 3, 1, 2), points, kinds, targets, valid, sampled)


def _example(
    rng: np.random.Generator,
    view: View,
    prompts: int,
    mean: tuple[float, float, float],
    std: tuple[float, float, float],
) -> tuple[NDArray[Any], ...]:
    points, kinds, members, sampled = draw_prompts(rng, view, prompts)
    cells = low_resolution(view.leaves, members.reshape(-1, 256))
    targets = cells.reshape(prompts, LEVELS, *cells.shape[1:])
    valid = np.asarray((targets >= 0.5).any((2, 3)))
    pixels = np.zeros(view.image.shape, np.float32)
    tall, wide = view.size
    raw = view.image[:tall, :wide].astype(np.float32)
    pixels[:tall, :wide] = (raw - np.array(mean, np.float32)) / np.array(std, np.float32)
    return pixels, points, kinds, targets, valid, sampled
