"""A segmenter by name. Torch is imported only where a model that needs it is asked for."""

from collections.abc import Collection
from pkgutil import resolve_name
from typing import Any, Final

from model.errors import ModelError, UnknownModel
from model.protocol import DEFAULTS, Backend, Options, SegmenterProtocol
from model.sizes import SIZES

# A family of models is a row: the names of its models, and the class in `model.backends` that loads them.
FAMILIES: Final[tuple[tuple[Collection[str], str], ...]] = (
    (SIZES, "model.backends.sam:Segmenter"),
    (("null",), "model.backends.null:NullSegmenter"),
)


def load(name: str, options: Options = DEFAULTS) -> SegmenterProtocol[Any, Any]:
    """The segmenter of that name. Raises UnknownModel, and CheckpointError for a missing or wrong file."""
    for names, place in FAMILIES:
        if name in names:
            backend: Backend = resolve_name(place)
            return backend.load(name, options)
    known = ", ".join(name for names, _ in FAMILIES for name in names)
    raise UnknownModel(f"no model is called {name!r}; there are {known}")


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
