"""Automatic masks: a grid of points, filters, suppression (reference behaviour, SAM paper section 5 and its code).

Reordered where masks stay the same: predicted IoU filters before the up-convolutions, stability and boxes come
from low-resolution logits without full-size ones, and only what survives suppression becomes runs.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from model.device import free_bytes
from model.masks import regions, rle
from model.masks.frames import Frame, frame_of, to_model
from model.masks.mask import Mask
from model.masks.nms import nms
from model.masks.upsample import stable
from model.networks.sam import Sam
from model.tasks.candidates import Candidates
from model.tasks.crops import Window, grid, near_inner_edge, windows
from model.tasks.rules import Rules

MOST_POINTS = 128  # decoded at a time on a CPU, whatever a task asks for: 4 MB of cells each
LIVE_CELLS = 8  # times the cells of a prompt that decoding and upscaling it hold at their worst


@dataclass(frozen=True)
class Crop:
    """One window of the image and the layer whose grid it gets."""

    frame: Frame
    layer: int


@dataclass(frozen=True)
class Survivors:
    """What suppression left of one image, in its order; runs are over the whole image.

    `encode_ms`: its share of the encoder's time as the host saw it (on CUDA, of queueing the work).
    """

    rules: Rules
    image: tuple[int, int]
    runs: list[rle.Runs]
    iou: NDArray[np.float32]
    stability: NDArray[np.float32]
    points: NDArray[np.float64]
    windows: list[Window]
    encode_ms: float = 0.0


def crops(height: int, width: int, rules: Rules, side: int) -> list[Crop]:
    """The crops of an image, whole image first."""
    found = windows(height, width, rules.crop_n_layers, rules.crop_overlap_ratio)
    return [Crop(frame_of((height, width), window, side), layer) for window, layer in found]


def search(sam: Sam, embedding: Tensor, crop: Crop, rules: Rules) -> Candidates:
    """One crop's masks after the filters and suppression within the crop; embedding (1, C, h, w)."""
    side = sam.row.image_size
    found = Candidates(crop.frame, side, (free_bytes(embedding.device) or 0) // 8)
    tall, wide = crop.frame.size
    points = grid(rules, crop.layer) * np.asarray([wide, tall])
    step = points_at_a_time(embedding, rules)
    for at in range(0, len(points), step):
        _try_points(sam, embedding, points[at : at + step], rules, found)
    found.keep(nms(found.boxes, found.iou, rules.box_nms_thresh))
    return found


def points_at_a_time(embedding: Tensor, rules: Rules) -> int:
    """How many points of an embedding (1, C, h, w) to decode together.

    The host waits for a device twice a batch, so a GPU takes as many as half of its free memory has room for
    (a whole 32×32 grid on 80 GB); a CPU as many as the task asks for.
    """
    free = free_bytes(embedding.device)
    if free is None:
        return min(rules.points_per_batch, MOST_POINTS)
    return min(max(free // 2 // (LIVE_CELLS * embedding[0].numel() * embedding.element_size()), 32), 4096)


def _try_points(sam: Sam, embedding: Tensor, points: NDArray[np.float64], rules: Rules, found: Candidates) -> None:
    """Three masks for each of (N, 2) crop points; those that pass join `found`, point by point."""
    frame, device = found.frame, embedding.device
    xy = torch.from_numpy(to_model(points, frame)).to(device, torch.float32)[:, None]
    labels = torch.ones(len(points), 1, dtype=torch.int64, device=device)
    decoded = sam.decode_tokens(embedding, torch.zeros(len(points), dtype=torch.int64), xy, labels)
    iou = decoded.iou.cpu()
    wanted = iou > rules.pred_iou_thresh if rules.pred_iou_thresh > 0 else iou.isfinite()
    prompts, masks = wanted.nonzero(as_tuple=True)
    if len(prompts) == 0:
        return
    logits = sam.upscale(decoded, prompts, masks)
    good = stable(logits, frame, found.side, rules.stability_score_offset, rules.stability_score_thresh)
    x0, y0 = frame.crop[:2]
    boxes = good.boxes + np.asarray([x0, y0, x0, y0])
    whole = ~near_inner_edge(boxes, frame.crop, *frame.image)
    index = good.index[whole]
    chosen = torch.from_numpy(index)
    found.add(
        logits[chosen.to(device)],
        boxes[whole],
        iou[prompts[chosen], masks[chosen]].numpy(),
        good.stability[whole],
        points[prompts[chosen].numpy()] + np.asarray([x0, y0]),
    )


def survivors(found: list[Candidates], rules: Rules, image: tuple[int, int]) -> Survivors:
    """Suppression across crops, smaller crops first; then runs of what is left."""
    order = _suppress_across(found, rules)
    runs = [rle.placed(r, c.frame.size, c.frame.crop[:2], image) for c in found for r in c.runs()]
    seen = [c.frame.crop for c in found for _ in range(len(c))]
    return Survivors(
        rules,
        image,
        [runs[i] for i in order],
        np.concatenate([c.iou for c in found])[order],
        np.concatenate([c.stability for c in found])[order],
        np.concatenate([c.points for c in found])[order],
        [seen[i] for i in order],
    )


def _suppress_across(found: list[Candidates], rules: Rules) -> NDArray[np.int64]:
    """Drops from each crop what a smaller crop has too; the order of what is left, over all crops end to end."""
    if len(found) == 1:
        return np.arange(len(found[0]))
    areas = np.concatenate([np.full(len(c), c.frame.size[0] * c.frame.size[1]) for c in found])
    kept = nms(np.concatenate([c.boxes for c in found]), 1 / areas.astype(np.float32), rules.crop_nms_thresh)
    by_crop = np.sort(kept)
    start = 0
    for candidates in found:
        end = start + len(candidates)
        candidates.keep(by_crop[(by_crop >= start) & (by_crop < end)] - start)
        start = end
    return np.searchsorted(by_crop, kept)


def answers(found: Survivors) -> list[Mask]:
    """Small regions, areas, order, no mask twice, the best `max_masks`, compressed runs. CPU only."""
    rules = found.rules
    index, runs = _clean(found) if rules.min_mask_region_area else (np.arange(len(found.runs)), found.runs)
    best_first = _first_of_equal(np.argsort(-found.iou[index], kind="stable"), runs)
    areas = [rle.runs_area(r) for r in runs]
    least, most = max(rules.min_mask_area or 0, 1), rules.max_mask_area
    chosen = [i for i in best_first if areas[i] >= least and (most is None or areas[i] <= most)]
    chosen = chosen[: rules.max_masks]
    counts = rle.compress([runs[i] for i in chosen])
    return [_answer(found, int(index[i]), runs[i], areas[i], c) for i, c in zip(chosen, counts, strict=True)]


def _first_of_equal(order: NDArray[np.int64], runs: list[rle.Runs]) -> list[int]:
    """Indexes in `order` without those whose mask came before.

    Suppression looks at boxes from first to last pixel. Those of masks one pixel wide or high have no area, so that
    equal ones are not seen there.
    """
    seen: dict[bytes, int] = {}
    for i in order:
        seen.setdefault(runs[i].tobytes(), int(i))
    return list(seen.values())


def _clean(found: Survivors) -> tuple[NDArray[np.int64], list[rle.Runs]]:
    """Holes and islands removed; then suppression in which unchanged masks win. Which are left, in order."""
    rules, height = found.rules, found.image[0]
    runs, scores, boxes = [], [], []
    for old in found.runs:
        cleaned, changed = regions.without_small_regions(old, height, rules.min_mask_region_area)
        runs.append(cleaned)
        x, y, w, h = rle.runs_bbox(runs[-1], height)
        boxes.append([x, y, x + max(w - 1, 0), y + max(h - 1, 0)])
        scores.append(0.0 if changed else 1.0)
    threshold = max(rules.box_nms_thresh, rules.crop_nms_thresh)
    kept = nms(np.asarray(boxes, np.float32).reshape(-1, 4), np.asarray(scores), threshold)
    return kept, [runs[i] for i in kept]


def _answer(found: Survivors, i: int, runs: rle.Runs, area: int, counts: str) -> Mask:
    height, width = found.image
    x0, y0, x1, y1 = found.windows[i]
    return Mask(
        rle={"size": [height, width], "counts": counts},
        bbox=rle.runs_bbox(runs, height),
        area=area,
        predicted_iou=float(found.iou[i]),
        stability_score=float(np.nan_to_num(found.stability[i])),
        point_coords=[[float(v) for v in found.points[i]]],
        crop_box=[x0, y0, x1 - x0, y1 - y0],
    )
