"""Suppression across the crops of one image."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from model.masks import rle
from model.masks.nms import nms
from model.tasks.candidates import Candidates
from model.tasks.crops import Window
from model.tasks.parameters import Parameters


@dataclass(frozen=True)
class Survivors:
    """The masks that are left, in the order of suppression. Runs are over the whole image."""

    parameters: Parameters
    image: tuple[int, int]
    runs: list[rle.Runs]
    iou: NDArray[np.float32]
    stability: NDArray[np.float32]
    points: NDArray[np.float64]
    windows: list[Window]


def survivors(found: list[Candidates], parameters: Parameters, image: tuple[int, int]) -> Survivors:
    """Suppress across crops; masks of smaller crops win. Then compute the runs of what is left."""
    order = _suppress_across(found, parameters)
    runs = [rle.placed(r, c.frame.size, c.frame.crop[:2], image) for c in found for r in c.runs()]
    seen = [c.frame.crop for c in found for _ in range(len(c))]
    return Survivors(
        parameters,
        image,
        [runs[i] for i in order],
        np.concatenate([c.iou for c in found])[order],
        np.concatenate([c.stability for c in found])[order],
        np.concatenate([c.points for c in found])[order],
        [seen[i] for i in order],
    )


def _suppress_across(found: list[Candidates], parameters: Parameters) -> NDArray[np.int64]:
    """Drop from each crop what a smaller crop has too. Returns the order of what is left, over all crops end to end."""
    if len(found) == 1:
        return np.arange(len(found[0]))
    areas = np.concatenate([np.full(len(c), c.frame.size[0] * c.frame.size[1]) for c in found])
    kept = nms(np.concatenate([c.boxes for c in found]), 1 / areas.astype(np.float32), parameters.crop_nms_thresh)
    by_crop = np.sort(kept)
    start = 0
    for candidates in found:
        end = start + len(candidates)
        candidates.keep(by_crop[(by_crop >= start) & (by_crop < end)] - start)
        start = end
    return np.searchsorted(by_crop, kept)
