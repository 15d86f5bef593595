"""A null model that images can make crash, hang or leak, for fault tests only. MASKWORKS_NULL_POISON loads it.

The first two pixels of a poisoned image spell `MW!` and one of `POISONS`. Each deed is first written down in the folder
that the setting names, because a killed process cannot tell.
"""

import ctypes
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from model.backends.null import NullPrepared, NullSegmenter
from model.errors import DeviceLost, OutOfMemory
from model.masks.frames import Pixels
from model.spec import Wanted

MARK: Final = b"MW!"
POISONS: Final = {
    b"dec": "abort in decode",
    b"mod": "abort in the model",
    b"han": "hang in the model",
    b"mem": "exhaust memory in decode",
    b"oom": "out of device memory beside others",
    b"big": "out of device memory even alone",
    b"los": "lose the device",
    b"lea": "leak memory",
    b"pan": "raise in decode what is no Exception, as extensions written in Rust do",
}
_LEAK_BYTES: Final = 400 * 2**20
_leaked: list[NDArray[np.uint8]] = []


class Panic(BaseException):
    """A BaseException that must not end the process."""


@dataclass(frozen=True)
class Poisoned(NullPrepared):
    """An image that does harm in `core`."""

    poison: bytes = b""


class PoisonableNull(NullSegmenter):
    """The null model, except for poisoned images."""

    def __init__(self, delay_s: float, deeds: Path) -> None:
        super().__init__(delay_s)
        self._deeds = deeds

    def pre(self, image: Pixels, wanted: Wanted) -> NullPrepared:
        prepared = super().pre(image, wanted)
        poison = poison_of(image)
        if poison == b"dec":
            self._write_down(poison, prepared)
            _abort()
        if poison == b"mem":
            raise MemoryError("a test image asked for more than there is")
        if poison == b"pan":
            raise Panic("a test image made a library panic")
        if poison == b"lea":
            _leaked.append(np.ones(_LEAK_BYTES, dtype=np.uint8))
        return prepared if poison is None else Poisoned(**vars(prepared), poison=poison)

    def core(self, batch: list[NullPrepared]) -> list[NullPrepared]:
        for prepared in batch:
            if isinstance(prepared, Poisoned):
                self._write_down(prepared.poison, prepared)
                _hurt(prepared.poison, len(batch))
        return super().core(batch)

    def _write_down(self, poison: bytes, prepared: NullPrepared) -> None:
        line = f"{os.getpid()} {poison.decode()} {prepared.checksum}\n"
        descriptor = os.open(self._deeds / "deeds", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        os.write(descriptor, line.encode())
        os.close(descriptor)


def poison_of(image: Pixels) -> bytes | None:
    """The poison that an image's first two pixels spell."""
    height, width = image.shape[:2]
    if width < 2 or not height or image[0, 0].tobytes() != MARK:
        return None
    found = image[0, 1].tobytes()
    return found if found in POISONS else None


def _hurt(poison: bytes, beside: int) -> None:
    if poison == b"mod":
        _abort()
    elif poison == b"han":
        while True:
            time.sleep(60)
    elif poison == b"los":
        raise DeviceLost("a test image lost the device")
    elif poison == b"big" or (poison == b"oom" and beside > 1):
        raise OutOfMemory(f"a test image did not fit beside {beside - 1} others")


def _abort() -> None:
    """End the process as a fault in a native library does. No Python handler sees it."""
    ctypes.CDLL(None).abort()
