"""The route through a ranker: automatic masks, each scored for each phrase."""

from dataclasses import dataclass, replace

import numpy as np
from torch import Tensor

from model.masks.frames import Frame, Pixels
from model.masks.mask import Mask
from model.networks.protocol import Network
from model.spec import Automatic, Text
from model.tasks import automatic
from model.tasks.sight import Sight
from model.tasks.text.choose import Rules, choose
from model.words.protocol import Found, Ranker


@dataclass(frozen=True)
class RankedPlan:
    """The plan of the automatic masks, and what they are ranked by."""

    rules: Rules
    ranker: Ranker
    image: Pixels
    automatic: automatic.AutomaticPlan

    @property
    def frames(self) -> tuple[Frame, ...]:
        return self.automatic.frames


@dataclass(frozen=True)
class Ranked:
    """The automatic masks of one image, and their scores."""

    rules: Rules
    masks: list[Mask]
    found: Found


def pre(task: Text, sight: Sight, ranker: Ranker) -> RankedPlan:
    assert sight.pixels is not None
    return RankedPlan(Rules.of(task, ranker.defaults), ranker, sight.pixels, automatic.pre(Automatic(), sight))


def core(sam: Network, plans: list[RankedPlan], embeddings: list[list[Tensor]]) -> list[Ranked]:
    """The ranker needs the finished masks, so their run lengths are computed here too."""
    found = automatic.core(sam, [plan.automatic for plan in plans], embeddings)
    return [_ranked(plan, automatic.post(each)) for plan, each in zip(plans, found, strict=True)]


def _ranked(plan: RankedPlan, masks: list[Mask]) -> Ranked:
    scores = plan.ranker.rank(plan.image, [mask.rle for mask in masks], plan.rules.phrases)
    x, y, w, h = np.asarray([mask.bbox for mask in masks], np.float64).reshape(-1, 4).T
    return Ranked(plan.rules, masks, Found(np.stack([x, y, x + w, y + h], 1), scores))


def post(found: Ranked) -> list[Mask]:
    """The masks, phrase by phrase, the best match first. A mask may match several phrases."""
    matches = choose(found.found, found.rules)
    return [replace(found.masks[m.candidate], phrase=m.phrase, score=m.score) for m in matches]
