"""The route through a segmenter of phrases: SAM has no part in it."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from model.masks import rle
from model.masks.frames import Frame
from model.masks.mask import Mask
from model.networks.protocol import Network
from model.spec import Text
from model.tasks.sight import Sight
from model.tasks.text.choose import Match, Rules, choose, clipped
from model.words.protocol import Instances, Native

_OFFSET = 1.0
"""Of the stability score, as for automatic masks."""


@dataclass(frozen=True)
class NativePlan:
    """What the network is to look at. It needs no embedding of SAM."""

    rules: Rules
    native: Native
    seen: Any
    size: tuple[int, int]

    @property
    def frames(self) -> tuple[Frame, ...]:
        return ()


@dataclass(frozen=True)
class Segmented:
    """The matches of one image with their masks as runs over it, and stability."""

    size: tuple[int, int]
    matches: list[Match]
    runs: list[rle.Runs]
    stability: list[float]


def pre(task: Text, sight: Sight, native: Native) -> NativePlan:
    assert sight.pixels is not None
    seen = native.look(sight.pixels, task.phrases, task.exemplars)
    return NativePlan(Rules.of(task, native.defaults), native, seen, sight.size)


def core(_sam: Network, plans: list[NativePlan], _embeddings: list[list[Tensor]]) -> list[Segmented]:
    found = plans[0].native.segment([plan.seen for plan in plans])
    return [_segmented(plan, each) for plan, each in zip(plans, found, strict=True)]


def _segmented(plan: NativePlan, instances: Instances) -> Segmented:
    """One mask at a time at full size: many at once would not fit for a large image."""
    matches = choose(clipped(instances.found, *plan.size), plan.rules)
    runs, stability = [], []
    for match in matches:
        low = instances.logits[match.candidate][None, None]
        logits = torch.nn.functional.interpolate(low, plan.size, mode="bilinear", align_corners=False)[0, 0]
        runs.append(rle.runs((logits > 0).cpu().numpy()))
        stability.append(int((logits > _OFFSET).sum()) / max(int((logits > -_OFFSET).sum()), 1))
    return Segmented(plan.size, matches, runs, stability)


def post(found: Segmented) -> list[Mask]:
    """The masks, phrase by phrase, the best match first. The network's score stands for the predicted IoU."""
    height, width = found.size
    each = zip(found.matches, found.runs, found.stability, rle.compress(found.runs), strict=True)
    return [
        Mask(
            rle={"size": [height, width], "counts": counts},
            bbox=rle.runs_bbox(runs, height),
            area=area,
            predicted_iou=match.score,
            stability_score=stability,
            point_coords=None,
            crop_box=[0, 0, width, height],
            phrase=match.phrase,
            score=match.score,
        )
        for match, runs, stability, counts in each
        if (area := rle.runs_area(runs))
    ]
