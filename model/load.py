"""A segmenter by name. Torch is imported only where a model that needs it is asked for."""

from collections.abc import Collection
from dataclasses import dataclass
from pkgutil import resolve_name
from typing import Any, Final

from model.errors import ModelError, UnknownModel
from model.hub_name import FORM, is_hub_name
from model.protocol import DEFAULTS, Backend, Options, SegmenterProtocol
from model.sizes import SIZES


@dataclass(frozen=True)
class Family:
    """The names of some models, and the class in `model.backends` that loads them.

    `knows_words`: they serve text without a model for text.
    """

    names: Collection[str]
    place: str
    knows_words: bool = False


FAMILIES: Final = (
    Family(SIZES, "model.backends.sam:Segmenter"),
    Family(("null",), "model.backends.null:NullSegmenter", knows_words=True),
)
HUB: Final = Family((), "model.backends.hub:HubSegmenter")
"""Any name that `model.hub_name` knows."""


def load(name: str, options: Options = DEFAULTS) -> SegmenterProtocol[Any, Any]:
    """The segmenter of that name. Raises UnknownModel, and CheckpointError for a missing or wrong file."""
    backend: Backend = resolve_name(_family(name).place)
    return backend.load(name, options)


def serves_text(name: str, words: str | None) -> bool:
    """Whether the model serves text beside this model for text, or beside none. Nothing is loaded."""
    return words is not None or _family(name).knows_words


def _family(name: str) -> Family:
    if is_hub_name(name):
        return HUB
    for family in FAMILIES:
        if name in family.names:
            return family
    known = ", ".join(name for family in FAMILIES for name in family.names)
    raise UnknownModel(f"no model is called {name!r}; there are {known}, and {FORM}")


def default_device() -> str:
    """ "cuda" where torch sees such a device, else "cpu"."""
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def check_device(device: str) -> None:
    """Raise ModelError where torch does not have this device."""
    import torch

    kind, _, index = device.partition(":")
    if kind == "cuda" and int(index or 0) >= torch.cuda.device_count():
        raise ModelError(f"there is no device {device!r}: torch finds {torch.cuda.device_count()} CUDA devices here")


def prepare_process(device: str, threads: int | None) -> None:
    """Set torch's threads, and keep freed memory on a CPU. Call it once, at the start of a process that computes."""
    import torch

    from model.memory import keep_freed_memory

    if threads is not None:
        torch.set_num_threads(threads)
    if device == "cpu":
        keep_freed_memory()
