"""Automatic masks restated plainly: step after step, at full size. Tests compare the generator with it.

Only the networks and the parameters come from `model`. It is slow on purpose.
"""

from dataclasses import dataclass
from math import ceil
from typing import Any

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from pycocotools import mask as coco


@dataclass
class Plain:
    mask: np.ndarray  # bool (H, W)
    box: list[float]  # x0 y0 x1 y1 inclusive
    iou: float
    stability: float
    point: list[float]
    crop: list[int]  # x0 y0 x1 y1


def iou_of_boxes(a: list[float], b: list[float]) -> float:
    wide = max(0.0, min(a[2], b[2]) - max(a[0], b[0]))
    tall = max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
    union = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - wide * tall
    return float(np.float32(wide * tall) / np.float32(union)) if union else float("nan")


def suppress(found: list[Plain], scores: list[float], threshold: float) -> list[Plain]:
    order = sorted(range(len(found)), key=lambda i: -scores[i])  # stable
    kept: list[int] = []
    for i in order:
        if not any(iou_of_boxes(found[k].box, found[i].box) > np.float32(threshold) for k in kept):
            kept.append(i)
    return [found[i] for i in kept]


def box_of(mask: np.ndarray) -> list[float]:
    y, x = np.nonzero(mask)
    return [float(x.min()), float(y.min()), float(x.max()), float(y.max())] if len(x) else [0.0] * 4


def crop_boxes(height: int, width: int, layers: int, ratio: float) -> list[tuple[list[int], int]]:
    boxes = [([0, 0, width, height], 0)]
    for layer in range(layers):
        n = 2 ** (layer + 1)
        overlap = int(ratio * min(height, width) * (2 / n))
        w, h = ceil((overlap * (n - 1) + width) / n), ceil((overlap * (n - 1) + height) / n)
        for i in range(n):
            for j in range(n):
                x0, y0 = (w - overlap) * i, (h - overlap) * j
                box = [x0, y0, min(x0 + w, width), min(y0 + h, height)]
                if box[2] > box[0] and box[3] > box[1]:
                    boxes.append((box, layer + 1))
    return boxes


def near_inner_edge(box: list[float], crop: list[int], height: int, width: int) -> bool:
    image = [0, 0, width, height]
    return any(abs(box[k] - crop[k]) <= 20 and not abs(box[k] - image[k]) <= 20 for k in range(4))


def one_crop(sam: Any, image: np.ndarray, crop: list[int], layer: int, p: dict[str, Any]) -> list[Plain]:
    side, row = sam.row.image_size, sam.row
    height, width = image.shape[:2]
    x0, y0, x1, y1 = crop
    h, w = y1 - y0, x1 - x0
    scale = side / max(h, w)
    nh, nw = max(int(h * scale + 0.5), 1), max(int(w * scale + 0.5), 1)
    small = np.array(Image.fromarray(image[y0:y1, x0:x1].copy()).resize((nw, nh), Image.Resampling.BILINEAR))
    pixels = (small.astype(np.float32) - np.float32(row.pixel_mean)) / np.float32(row.pixel_std)
    padded = torch.zeros(1, 3, side, side)
    padded[0, :, :nh, :nw] = torch.from_numpy(pixels).permute(2, 0, 1)
    embedding = sam.encode(padded)
    n = int(p["points_per_side"] / p["crop_n_points_downscale_factor"] ** layer)
    found = []
    for j in range(n):
        line = [((i + 0.5) / n * w, (j + 0.5) / n * h) for i in range(n)]
        points = torch.tensor([[(x * (nw / w), y * (nh / h))] for x, y in line], dtype=torch.float32)
        labels = torch.ones(n, 1, dtype=torch.int64)
        logits, ious = sam.decode(embedding, torch.zeros(n, dtype=torch.int64), points, labels, multimask=True)
        for i, (x, y) in enumerate(line):
            for k in range(3):
                iou = float(ious[i, k])
                if p["pred_iou_thresh"] > 0 and not iou > p["pred_iou_thresh"]:
                    continue  # the reference drops it later, and nothing else uses it
                big = F.interpolate(logits[i : i + 1, k : k + 1], (side, side), mode="bilinear", align_corners=False)
                full = F.interpolate(big[..., :nh, :nw], (h, w), mode="bilinear", align_corners=False)[0, 0].numpy()
                mask = np.zeros((height, width), bool)
                mask[y0:y1, x0:x1] = full > 0
                offset = p["stability_score_offset"]
                below = int((full > -offset).sum())
                stability = int((full > offset).sum()) / below if below else float("nan")
                box = box_of(mask)
                if not mask.any():  # the box that the reference gives an empty mask, moved with its crop
                    box = [float(x0), float(y0), float(x0), float(y0)]
                if p["stability_score_thresh"] > 0 and not np.float32(stability) >= p["stability_score_thresh"]:
                    continue
                if near_inner_edge(box, crop, height, width):
                    continue
                found.append(Plain(mask, box, iou, stability, [x + x0, y + y0], crop))
    return suppress(found, [f.iou for f in found], p["box_nms_thresh"])


def without_small(mask: np.ndarray, area: int, holes: bool) -> tuple[np.ndarray, bool]:
    """By OpenCV's labels, as the reference does it."""
    count, parts, stats, _ = cv2.connectedComponentsWithStats((mask ^ holes).astype(np.uint8), connectivity=8)
    sizes = stats[1:, -1]
    small = [i + 1 for i, size in enumerate(sizes) if size < area]
    if not small:
        return mask, False
    if holes:
        return np.isin(parts, [0, *small]), True
    large = [i for i in range(1, count) if i not in small] or [int(np.argmax(sizes)) + 1]
    return np.isin(parts, large), True


def automatic(sam: Any, image: np.ndarray, p: dict[str, Any]) -> list[Plain]:
    """Every mask of the reference by predicted IoU, descending, without empty ones and duplicates."""
    height, width = image.shape[:2]
    found: list[Plain] = []
    crops = crop_boxes(height, width, p["crop_n_layers"], p["crop_overlap_ratio"])
    with torch.inference_mode():
        for crop, layer in crops:
            found += one_crop(sam, image, crop, layer, p)
    if len(crops) > 1:
        scores = [1 / ((f.crop[2] - f.crop[0]) * (f.crop[3] - f.crop[1])) for f in found]
        found = suppress(found, scores, p["crop_nms_thresh"])
    if p["min_mask_region_area"]:
        scores = []
        for f in found:
            f.mask, a = without_small(f.mask, p["min_mask_region_area"], True)
            f.mask, b = without_small(f.mask, p["min_mask_region_area"], False)
            f.box = box_of(f.mask)
            scores.append(0.0 if a or b else 1.0)
        found = suppress(found, scores, max(p["box_nms_thresh"], p["crop_nms_thresh"]))
    different: dict[bytes, Plain] = {}
    for f in sorted(found, key=lambda f: -f.iou):
        if f.mask.any():
            different.setdefault(f.mask.tobytes(), f)
    return list(different.values())


def rle(mask: np.ndarray) -> dict[str, Any]:
    encoded = coco.encode(np.asfortranarray(mask.astype(np.uint8)))
    return {"size": list(mask.shape), "counts": encoded["counts"].decode()}
