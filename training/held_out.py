"""Figures on scenes that training never sees: one click and one box for each region.

Regions are drawn by seed: wholes, parts and fine details of at least 0.3 % of the image. A click is the point
farthest from the region's boundary. IoU is taken at model resolution.
"""

from dataclasses import asdict, dataclass

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from model.networks.sam import Sam
from training.clicks import farthest_inside
from training.prompts import Pixels, right_masks
from training.scenes import Scene

SEED = 7
REGIONS = 4  # a scene
MIN_SHARE = 0.003


@dataclass(frozen=True)
class Figures:
    """Means over the regions; `correlation` is Pearson's r of predicted and true IoU over all click masks."""

    top: float
    oracle: float
    box: float
    correlation: float
    regions: int

    def row(self) -> dict[str, float]:
        return asdict(self)


@dataclass(frozen=True)
class Question:
    """One scene, resized for the model, and its regions."""

    image: NDArray[np.uint8]  # (S, S, 3)
    masks: NDArray[np.bool_]  # (n, S, S)
    clicks: NDArray[np.float32]  # (n, 2) xy
    boxes: NDArray[np.float32]  # (n, 4)


def question(scene: Scene, side: int, seed: int) -> Question | None:
    """The regions of one scene; None if none is large enough."""
    rng = np.random.default_rng([SEED, seed])
    image = np.asarray(cv2.resize(scene.image, (side, side), interpolation=cv2.INTER_AREA), np.uint8)
    leaves = np.asarray(cv2.resize(scene.leaves, (side, side), interpolation=cv2.INTER_NEAREST_EXACT), np.uint8)
    areas = Pixels(leaves).areas
    weight = np.sqrt(areas) * np.where(scene.table[:, 3] > 0, 0.5, 1)
    masks: list[NDArray[np.bool_]] = []
    for leaf in rng.choice(256, 4 * REGIONS, p=weight / weight.sum()):
        members = right_masks(scene.table, areas, int(leaf))
        levels = [k for k in range(len(members)) if areas[members[k]].sum() >= MIN_SHARE * side * side]
        if levels and len(masks) < REGIONS:
            masks.append(members[rng.choice(levels)][leaves])
    if not masks:
        return None
    boxes = [cv2.boundingRect(mask.astype(np.uint8)) for mask in masks]
    corners = np.array([[x, y, x + w, y + h] for x, y, w, h in boxes], np.float32)
    return Question(image, np.stack(masks), np.array([farthest_inside(m) for m in masks], np.float32), corners)


@torch.inference_mode()
def ask(sam: Sam, asked: Question) -> tuple[Tensor, Tensor, Tensor]:
    """Click masks (n, 3, S, S) bool, their predicted IoU (n, 3), box masks (n, S, S) bool."""
    mean, std = torch.tensor(sam.row.pixel_mean), torch.tensor(sam.row.pixel_std)
    pixels = ((torch.from_numpy(asked.image).float() - mean) / std).permute(2, 0, 1)[None]
    embedding, n = sam.encode(pixels), len(asked.masks)
    index = torch.zeros(n, dtype=torch.long)
    clicks, labels = torch.from_numpy(asked.clicks)[:, None], torch.ones(n, 1)
    logits, predicted = sam.decode(embedding, index, clicks, labels)
    none = (torch.zeros(n, 0, 2), torch.zeros(n, 0))
    boxed, _ = sam.decode(embedding, index, *none, boxes=torch.from_numpy(asked.boxes), multimask=False)
    size = asked.image.shape[:2]
    up = [F.interpolate(x, size, mode="bilinear", align_corners=False) > 0 for x in (logits, boxed)]
    return up[0], predicted, up[1][:, 0]


def iou(a: NDArray[np.bool_], b: NDArray[np.bool_]) -> NDArray[np.float64]:
    """IoU over the last two axes."""
    union = (a | b).sum((-2, -1))
    return np.asarray((a & b).sum((-2, -1)) / np.maximum(union, 1), np.float64)


def figures(sam: Sam, questions: list[Question]) -> Figures:
    top, oracle, boxes, predicted, true = [], [], [], [], []
    for asked in questions:
        clicks, guess, boxed = (t.numpy() for t in ask(sam, asked))
        found = iou(clicks, asked.masks[:, None])  # (n, 3)
        top.append(found[np.arange(len(found)), guess.argmax(1)])
        oracle.append(found.max(1))
        boxes.append(iou(boxed, asked.masks))
        predicted.append(guess.ravel())
        true.append(found.ravel())
    r = float(np.corrcoef(np.concatenate(predicted), np.concatenate(true))[0, 1])
    count = sum(len(asked.masks) for asked in questions)
    mean_top, mean_oracle, mean_box = (float(np.concatenate(x).mean()) for x in (top, oracle, boxes))
    return Figures(mean_top, mean_oracle, mean_box, r, count)
