"""The embedding of the whole image, for clients that run the decoder themselves."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from model.masks.frames import Frame
from model.networks.protocol import Network
from model.spec import Embed
from model.tasks.sight import Sight


@dataclass(frozen=True)
class EmbedPlan:
    """The frame of the whole image."""

    frame: Frame

    @property
    def frames(self) -> tuple[Frame, ...]:
        return (self.frame,)


def pre(_task: Embed, sight: Sight) -> EmbedPlan:
    """The plan for an image."""
    return EmbedPlan(sight.frame)


def core(_sam: Network, _plans: list[EmbedPlan], embeddings: list[list[Tensor]]) -> list[Tensor]:
    """The embeddings (C, h, w) as float16, on the host."""
    return [found[0].to(torch.float16).cpu() for (found,) in embeddings]


def post(found: Tensor) -> NDArray[np.float16]:
    """float16 (C, h, w)."""
    values: NDArray[np.float16] = found.numpy()
    return values
