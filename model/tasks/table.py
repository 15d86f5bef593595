"""The table of tasks, by type. A new kind of task is a class in `model.spec`, a file here and a row in TASKS."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Protocol

from torch import Tensor

from model.masks.frames import Frame
from model.networks.protocol import Network
from model.spec import Automatic, Embed, Prompted, Text
from model.tasks import automatic, embed, prompted
from model.tasks.sight import Sight
from model.tasks.text import steps as text


class Plan(Protocol):
    """A task beside its image, ready for `core`."""

    @property
    def frames(self) -> tuple[Frame, ...]:
        """The crops whose embeddings `core` needs, the whole image first."""
        ...


class Steps(Protocol):
    """The steps of a kind of task. `pre` and `post` run on the CPU and are thread-safe."""

    def pre(self, task: Any, sight: Sight) -> Plan:
        """The plan for an image."""
        ...

    def core(self, sam: Network, plans: list[Any], embeddings: list[list[Tensor]]) -> list[Any]:
        """Run the networks for several images. `embeddings` follow the plans' frames. Returns inputs of `post`."""
        ...

    def post(self, found: Any) -> Any:
        """The masks of one image; of Embed its embedding."""
        ...


TASKS: Mapping[type, Steps] = MappingProxyType({Automatic: automatic, Prompted: prompted, Text: text, Embed: embed})
