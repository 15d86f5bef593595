"""The route through a detector: it gives boxes, and each box prompts SAM for one mask."""

from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor

from model.masks.frames import Frame
from model.masks.mask import Mask
from model.networks.protocol import Network, Row
from model.spec import Box, Prompt, Prompted, Text
from model.tasks import prompted
from model.tasks.sight import Sight
from model.tasks.text.choose import Match, Rules, choose, clipped
from model.words.protocol import Detector, Found


@dataclass(frozen=True)
class DetectedPlan:
    """What the detector is to look at, and where the image lies in SAM's input."""

    rules: Rules
    detector: Detector
    seen: Any
    frame: Frame

    @property
    def frames(self) -> tuple[Frame, ...]:
        return (self.frame,)


@dataclass(frozen=True)
class Detected:
    """The matches of one image, and SAM's answer to their boxes; None where nothing was found."""

    matches: list[Match]
    answered: prompted.Answered | None


def pre(task: Text, sight: Sight, detector: Detector) -> DetectedPlan:
    assert sight.pixels is not None
    seen = detector.look(sight.pixels, task.phrases)
    return DetectedPlan(Rules.of(task, detector.defaults), detector, seen, sight.frame)


def core(sam: Network, plans: list[DetectedPlan], embeddings: list[list[Tensor]]) -> list[Detected]:
    """Detect, then decode the boxes of all images together."""
    founds = plans[0].detector.detect([plan.seen for plan in plans])
    founds = [clipped(found, *plan.frame.image) for plan, found in zip(plans, founds, strict=True)]
    matches = [choose(found, plan.rules) for plan, found in zip(plans, founds, strict=True)]
    some = [i for i, each in enumerate(matches) if each]
    asked = [_prompts(plans[i].frame, sam.row, founds[i], matches[i]) for i in some]
    answers = prompted.core(sam, asked, [embeddings[i] for i in some]) if some else []
    of_image = dict(zip(some, answers, strict=True))
    return [Detected(each, of_image.get(i)) for i, each in enumerate(matches)]


def _prompts(frame: Frame, row: Row, found: Found, matches: list[Match]) -> prompted.PromptedPlan:
    prompts = tuple(Prompt(box=_box(found, match)) for match in matches)
    return prompted.pre(Prompted(prompts), Sight(frame.image, row))


def _box(found: Found, match: Match) -> Box:
    x0, y0, x1, y1 = (float(v) for v in found.boxes[match.candidate])
    return x0, y0, x1, y1


def post(found: Detected) -> list[Mask]:
    """The masks, phrase by phrase, the best match first. Those without a pixel are left out."""
    masks = [] if found.answered is None else prompted.post(found.answered)
    named = zip(masks, found.matches, strict=True)
    return [replace(m, prompt_id=None, phrase=match.phrase, score=match.score) for m, match in named if m.area]
