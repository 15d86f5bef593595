"""`python -m evaluation.ceiling`: the best IoU that low-resolution logits can reach on drawn regions.

A region becomes one value for each cell of 4x4 model pixels, and then a mask of the picture as logits do. Hard values
are 0 or 1, by the majority of a cell. Shares say how much of the cell is covered.
"""

import argparse
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from evaluation.data.label_maps import pictures
from model.masks.dense import upsampled
from model.masks.frames import whole
from training.clicks import Mask, iou

CELL = 4  # model pixels a side
SURE = 1 / 32  # half a pixel of a cell, which keeps the logit of a share finite


def shares(region: Mask, side: int) -> NDArray[np.float32]:
    """bool (H, W) → the covered share of each cell, float32 (side / 4, side / 4)."""
    tall, wide = whole(region.shape[0], region.shape[1], side).resized
    padded = np.zeros((side, side), np.float32)
    padded[:tall, :wide] = cv2.resize(region.astype(np.float32), (wide, tall), interpolation=cv2.INTER_AREA)
    return np.asarray(padded.reshape(side // CELL, CELL, side // CELL, CELL).mean((1, 3)), np.float32)


def best(region: Mask, side: int) -> tuple[float, float]:
    """IoU of the region with its own mask, by hard values and by shares."""
    cover = np.clip(shares(region, side), SURE, 1 - SURE)
    hard = np.where(cover >= 0.5, np.float32(1), np.float32(-1))
    logits = torch.from_numpy(np.stack([hard, np.log(cover / (1 - cover))]))
    masks = (upsampled(logits, whole(region.shape[0], region.shape[1], side), side) > 0).numpy()
    return iou(masks[0], region), iou(masks[1], region)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m evaluation.ceiling", description=__doc__)
    parser.add_argument("--images", type=Path, required=True)
    parser.add_argument("--ground-truth", type=Path, required=True)
    parser.add_argument("--sides", type=int, nargs="+", default=[256, 384], help="model pixels")
    parser.add_argument("--min-share", type=float, default=0.005)
    asked = parser.parse_args()
    regions = [r for p in pictures(asked.images, asked.ground_truth, asked.min_share) for r in p.regions]
    for side in asked.sides:
        hard, soft = np.mean([best(region, side) for region in regions], axis=0)
        print(f"{side} px   {len(regions)} regions   best mean IoU: hard cells {hard:.3f}   shares {soft:.3f}")


if __name__ == "__main__":
    main()
