"""Masks for phrases: the steps of a text task, by the kind of model for text that the segmenter has."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

from torch import Tensor

from model.errors import ModelError, TaskNotServed
from model.masks.frames import Frame
from model.masks.mask import Mask
from model.networks.protocol import Network
from model.spec import Text
from model.tasks.sight import Sight
from model.tasks.text import detected, native, ranked
from model.words.protocol import DETECTOR, NATIVE, RANKER

ROUTES: Final[Mapping[str, Any]] = MappingProxyType({DETECTOR: detected, RANKER: ranked, NATIVE: native})


@dataclass(frozen=True)
class TextPlan:
    """The plan of a route, and its name."""

    route: str
    plan: Any

    @property
    def frames(self) -> tuple[Frame, ...]:
        frames: tuple[Frame, ...] = self.plan.frames
        return frames


@dataclass(frozen=True)
class TextFound:
    """What a route found in one image."""

    route: str
    found: Any


def pre(task: Text, sight: Sight) -> TextPlan:
    """Raises TaskNotServed without a model for text, and ModelError without the image's pixels."""
    if sight.words is None:
        raise TaskNotServed("this segmenter has no model for text")
    if sight.pixels is None:
        raise ModelError("text needs the image: an embedding is not enough")
    return TextPlan(sight.words.kind, ROUTES[sight.words.kind].pre(task, sight, sight.words))


def core(sam: Network, plans: list[TextPlan], embeddings: list[list[Tensor]]) -> list[TextFound]:
    """All plans are of one segmenter, so of one route."""
    route = plans[0].route
    found = ROUTES[route].core(sam, [plan.plan for plan in plans], embeddings)
    return [TextFound(route, each) for each in found]


def post(found: TextFound) -> list[Mask]:
    masks: list[Mask] = ROUTES[found.route].post(found.found)
    return masks
