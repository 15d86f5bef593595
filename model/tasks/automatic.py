"""Masks of everything in an image (SAM paper section 5, and the behaviour of its code)."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from model.masks import regions, rle
from model.masks.frames import Frame
from model.masks.mask import Mask
from model.masks.nms import nms
from model.networks.protocol import Network
from model.spec import Automatic
from model.tasks.crops import Crop, crops
from model.tasks.parameters import Parameters, resolve
from model.tasks.search import search
from model.tasks.sight import Sight
from model.tasks.survivors import Survivors, survivors


@dataclass(frozen=True)
class AutomaticPlan:
    """The crops of one image, the whole image first, and the parameters."""

    parameters: Parameters
    crops: tuple[Crop, ...]

    @property
    def frames(self) -> tuple[Frame, ...]:
        return tuple(crop.frame for crop in self.crops)


def pre(task: Automatic, sight: Sight) -> AutomaticPlan:
    """The plan for an image."""
    parameters = resolve(task, sight.row)
    return AutomaticPlan(parameters, crops(sight.size, parameters, sight.row.image_size, sight.row.stretched))


def core(sam: Network, plans: list[AutomaticPlan], embeddings: list[list[Tensor]]) -> list[Survivors]:
    """Search each crop of each image."""
    return [_core(sam, plan, seen) for plan, seen in zip(plans, embeddings, strict=True)]


def _core(sam: Network, plan: AutomaticPlan, embeddings: list[Tensor]) -> Survivors:
    pairs = zip(plan.crops, embeddings, strict=True)
    found = [search(sam, embedding, crop, plan.parameters) for crop, embedding in pairs]
    return survivors(found, plan.parameters, plan.crops[0].frame.image)


def post(found: Survivors) -> list[Mask]:
    """Clean small regions, drop duplicates and masks of other areas, and take the best `max_masks`. CPU only."""
    parameters = found.parameters
    index, runs = _clean(found) if parameters.min_mask_region_area else (np.arange(len(found.runs)), found.runs)
    best_first = _first_of_equal(np.argsort(-found.iou[index], kind="stable"), runs)
    areas = [rle.runs_area(r) for r in runs]
    least, most = max(parameters.min_mask_area or 0, 1), parameters.max_mask_area
    chosen = [i for i in best_first if areas[i] >= least and (most is None or areas[i] <= most)]
    chosen = chosen[: parameters.max_masks]
    counts = rle.compress([runs[i] for i in chosen])
    return [_mask(found, int(index[i]), runs[i], areas[i], c) for i, c in zip(chosen, counts, strict=True)]


def _first_of_equal(order: NDArray[np.int64], runs: list[rle.Runs]) -> list[int]:
    """Indexes in `order` without duplicates of earlier masks.

    Suppression does not see duplicates that are one pixel wide or high, because their boxes have no area.
    """
    seen: dict[bytes, int] = {}
    for i in order:
        seen.setdefault(runs[i].tobytes(), int(i))
    return list(seen.values())


def _clean(found: Survivors) -> tuple[NDArray[np.int64], list[rle.Runs]]:
    """Remove holes and islands, then suppress; unchanged masks win. Returns indexes and runs of what is left."""
    parameters, height = found.parameters, found.image[0]
    runs, scores, boxes = [], [], []
    for old in found.runs:
        cleaned, changed = regions.without_small_regions(old, height, parameters.min_mask_region_area)
        runs.append(cleaned)
        x, y, w, h = rle.runs_bbox(runs[-1], height)
        boxes.append([x, y, x + max(w - 1, 0), y + max(h - 1, 0)])
        scores.append(0.0 if changed else 1.0)
    threshold = max(parameters.box_nms_thresh, parameters.crop_nms_thresh)
    kept = nms(np.asarray(boxes, np.float32).reshape(-1, 4), np.asarray(scores), threshold)
    return kept, [runs[i] for i in kept]


def _mask(found: Survivors, i: int, runs: rle.Runs, area: int, counts: str) -> Mask:
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
