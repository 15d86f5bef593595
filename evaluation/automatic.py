"""`python -m evaluation.automatic`: measure automatic masks against known regions, over a grid of thresholds.

It uses held-out procedural scenes, which chose the defaults of `sam_tiny`, or pictures with --images and
--ground-truth. Found: the share of regions that a mask outlines, at IoU .5 and .7. Right: the share of masks that
outline a region at IoU .5. If two masks outline one region, the worse is wrong.
"""

import argparse
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from evaluation.data.label_maps import pictures
from evaluation.data.picture import Picture
from model.backends.sam import Segmenter
from model.masks.nms import nms
from model.masks.rle import decode
from model.memory import keep_freed_memory
from model.protocol import Options
from model.spec import Automatic
from training.prompts import LEVELS
from training.store import Store, default_folder

IOU_THRESHOLDS = (0.3, 0.4, 0.45, 0.5, 0.55, 0.6, 0.7)
STABILITIES = (0.5, 0.6, 0.7, 0.75, 0.8, 0.85, 0.9)
SUPPRESSION = (0.4, 0.5, 0.6, 0.7)


@dataclass(frozen=True)
class Score:
    """Sums over pictures."""

    regions: int = 0
    found_50: int = 0
    found_70: int = 0
    masks: int = 0
    right: int = 0

    def __add__(self, other: "Score") -> "Score":
        mine, theirs = vars(self).values(), vars(other).values()
        return Score(*(a + b for a, b in zip(mine, theirs, strict=True)))

    @property
    def f(self) -> float:
        """Harmonic mean of found at .5 and right."""
        found, right = self.found_50 / max(self.regions, 1), self.right / max(self.masks, 1)
        return 2 * found * right / max(found + right, 1e-9)

    def __str__(self) -> str:
        share = self.regions or 1
        return (
            f"found {self.found_50 / share:.3f} @.5, {self.found_70 / share:.3f} @.7 ({self.found_70}/{self.regions})"
            f"   right {self.right / max(self.masks, 1):.3f} of {self.masks}   F {self.f:.3f}"
        )


def pairwise_iou(a: NDArray[np.bool_], b: NDArray[np.bool_]) -> NDArray[np.float64]:
    """(n, H, W) and (m, H, W) → (n, m)."""
    flat_a, flat_b = (x.reshape(len(x), x.shape[1] * x.shape[2]).astype(np.float32) for x in (a, b))
    overlap = flat_a @ flat_b.T
    union = flat_a.sum(1)[:, None] + flat_b.sum(1)[None] - overlap
    return np.asarray(overlap / np.maximum(union, 1), np.float64)


def distinct(iou: NDArray[np.float64]) -> int:
    """(K, m), masks in their order → how many regions have a mask of their own at IoU .5.

    Each mask takes the best region that is left.
    """
    left, found = iou.copy(), 0
    for mask in left:
        if mask.max(initial=0) >= 0.5:
            left[:, int(mask.argmax())] = 0
            found += 1
    return found


def scored(wanted: NDArray[np.float64], allowed: NDArray[np.float64]) -> Score:
    """The score from IoUs of K masks in their order: with the regions to be found (n, K), and with those that count as
    right (K, m)."""
    best = wanted.max(1, initial=0)
    return Score(len(wanted), int((best >= 0.5).sum()), int((best >= 0.7).sum()), wanted.shape[1], distinct(allowed))


def score(masks: NDArray[np.bool_], wanted: NDArray[np.bool_], allowed: NDArray[np.bool_]) -> Score:
    """The score of masks (K, H, W): `wanted` are to be found, `allowed` count as right, (n, H, W) each."""
    return scored(pairwise_iou(wanted, masks), pairwise_iou(masks, allowed))


def masks_of(segmenter: Segmenter, image: NDArray[np.uint8], task: Automatic) -> NDArray[np.bool_]:
    """(K, H, W), best predicted IoU first."""
    (found,) = segmenter.run([image], [task])
    masks = [decode(mask.rle) for mask in found]
    return np.stack(masks).astype(np.bool_) if masks else np.zeros((0, *image.shape[:2]), np.bool_)


def held_out(folder: Path, scenes: int, min_share: float) -> Iterable[tuple[Picture, NDArray[np.bool_]]]:
    """Scenes with their whole objects, and with the regions of every level."""
    store = Store(folder)
    for k in range(min(scenes, len(store))):
        scene = store[k]
        levels = [scene.table[:, level][scene.leaves] for level in range(LEVELS)]
        regions = [[ids == n for n in np.unique(ids) if n and (ids == n).mean() >= min_share] for ids in levels]
        every = {mask.tobytes(): mask for level in regions for mask in level}  # a thing without parts is on every level
        yield Picture(str(k), scene.image, np.stack(regions[0])), np.stack(list(every.values()))


@dataclass(frozen=True)
class Everything:
    """All masks of one picture before any filter, and how they compare with its regions."""

    iou: NDArray[np.float64]  # (K,) predicted
    stability: NDArray[np.float64]  # (K,)
    boxes: NDArray[np.float64]  # (K, 4) x0 y0 x1 y1
    wanted: NDArray[np.float64]  # (n, K) true IoU with the regions to be found
    allowed: NDArray[np.float64]  # (K, m) true IoU with the regions that count as right

    def kept(self, iou: float, stability: float, suppression: float, most: int) -> Score:
        """The score of the generator with these thresholds."""
        passed = np.flatnonzero((self.iou > iou) & (self.stability >= stability))
        left = passed[nms(self.boxes[passed], self.iou[passed], suppression)][:most] if len(passed) else passed
        return scored(self.wanted[:, left], self.allowed[left])


def everything(
    segmenter: Segmenter, picture: Picture, allowed: NDArray[np.bool_], offset: float, points: int | None
) -> Everything:
    """One run without filters and suppression, on the model's own grid or one of `points` a side."""
    task = Automatic(
        points_per_side=points,
        pred_iou_thresh=0.0,
        stability_score_thresh=0.0,
        box_nms_thresh=1.0,
        stability_score_offset=offset,
        max_masks=20_000,
    )
    (answers,) = segmenter.run([picture.image], [task])
    found = [mask for mask in answers if mask.area]
    masks = np.stack([decode(mask.rle) for mask in found]).astype(np.bool_)
    boxes = np.array([[x, y, x + w - 1, y + h - 1] for x, y, w, h in (mask.bbox for mask in found)], np.float64)
    return Everything(
        np.array([mask.predicted_iou for mask in found]),
        np.array([mask.stability_score for mask in found]),
        boxes,
        pairwise_iou(picture.regions, masks),
        pairwise_iou(masks, allowed),
    )


def sweep(
    segmenter: Segmenter,
    asked: list[tuple[Picture, NDArray[np.bool_]]],
    offset: float,
    most: int,
    points: int | None = None,
) -> dict[tuple[float, float, float], Score]:
    """The score of every combination of thresholds, from one run of each picture."""
    each = [everything(segmenter, picture, allowed, offset, points) for picture, allowed in asked]
    combinations = product(IOU_THRESHOLDS, STABILITIES, SUPPRESSION)
    return {(i, s, n): sum((one.kept(i, s, n, most) for one in each), Score()) for i, s, n in combinations}


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m evaluation.automatic", description=__doc__)
    parser.add_argument("--model", default="sam_tiny")
    parser.add_argument("--checkpoint", type=Path)
    parser.add_argument("--scenes", type=int, default=24)
    parser.add_argument("--folder", type=Path, help="of held-out scenes; default: where training keeps them")
    parser.add_argument("--images", type=Path)
    parser.add_argument("--ground-truth", type=Path)
    parser.add_argument("--min-share", type=float, default=0.005)
    parser.add_argument("--offset", type=float, default=0.25, help="of the stability score")
    parser.add_argument("--points", type=int, help="a side; default: the model's own")
    parser.add_argument("--most", type=int, default=50, help="masks kept an image")
    parser.add_argument(
        "--defaults", action="store_true", help="only the model's own thresholds, picture by picture, and all"
    )
    return parser.parse_args()


def main() -> None:
    asked = _arguments()
    keep_freed_memory()
    segmenter = Segmenter.load(asked.model, Options(asked.checkpoint))
    if asked.images:
        truth = [(p, p.regions) for p in pictures(asked.images, asked.ground_truth, asked.min_share)]
    else:
        truth = list(held_out(asked.folder or default_folder() / "held-out", asked.scenes, asked.min_share))
    if asked.defaults:
        total = Score()
        for picture, allowed in truth:
            masks = masks_of(segmenter, picture.image, Automatic())
            found = score(masks, picture.regions, allowed)
            print(picture.name, found)
            if asked.images:
                best = pairwise_iou(picture.regions, masks).max(1, initial=0)
                print("  best IoU of each region:", *(f"{iou:.2f}" for iou in best))
            total += found
        print("all", total)
        return
    ranked = sorted(
        sweep(segmenter, truth, asked.offset, asked.most, asked.points).items(), key=lambda item: -item[1].f
    )
    for (iou, stability, suppression), sums in ranked:
        print(f"iou {iou:.2f} stability {stability:.2f} nms {suppression:.2f}   {sums}")


if __name__ == "__main__":
    main()
