"""An image on its way through the pipeline, and its outcome."""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from queue import SimpleQueue
from typing import Any
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from db.bands import Bands
from db.georeference import Georeference
from db.states import Depth, WarningCode
from model.masks.frames import Pixels
from model.masks.mask import Mask
from model.protocol import SegmenterProtocol
from model.spec import Task, Tiling, Wanted
from model.tiles.grid import Window
from workers.failures import Failure
from workers.images.raster import Said

Model = SegmenterProtocol[Any, Any]


def warning(code: WarningCode, detail: str, prompt_id: str | None = None) -> dict[str, Any]:
    """An entry of an item's `warnings`: the item succeeds, but not exactly as asked."""
    return {"code": code.value, "detail": detail, "prompt_id": prompt_id}


@dataclass(frozen=True)
class Done:
    """The masks of an image, in pixels of the upright image."""

    index: int
    height: int
    width: int
    orientation: int
    masks: list[Mask]
    timings_ms: dict[str, float]
    frames: int | None = None
    warnings: list[dict[str, Any]] = field(default_factory=list)
    fingerprint: bytes | None = None
    georeference: Georeference | None = None


@dataclass(frozen=True)
class Earlier:
    """A result that there is already."""

    job_id: UUID
    index: int


@dataclass(frozen=True)
class Reused:
    """An item that takes over an earlier result. Its object was not fetched."""

    index: int
    earlier: Earlier
    timings_ms: dict[str, float]


@dataclass(frozen=True)
class Failed:
    """A failed item. This job does not try it again."""

    index: int
    failure: Failure
    timings_ms: dict[str, float]


@dataclass(frozen=True)
class Picture:
    """A decoded image, or a window of one: uint8 (H, W, 3). `pixels` is None where it does not fit into one window.

    `black_white`: what these are in samples of more than 8 bits.
    """

    pixels: Pixels | None
    height: int
    width: int
    orientation: int = 1
    frames: int | None = None
    georeference: Georeference | None = None
    warnings: tuple[Said, ...] = ()
    black_white: tuple[float, float] | None = None


@dataclass(frozen=True)
class Region:
    """A window of an image, of which a tile is made. `tag`: that of the object when the windows were planned."""

    window: Window
    tag: str | None
    black_white: tuple[float, float] | None


@dataclass(frozen=True)
class Large:
    """An image that does not fit into one window. Nothing of it was computed. `task` fits it.

    `tag`: the object's, which is to be the same when its windows are read.
    """

    index: int
    picture: Picture
    warnings: list[dict[str, Any]]
    task: Task
    tag: str | None
    fingerprint: bytes | None
    timings_ms: dict[str, float]


@dataclass(frozen=True)
class Dropped:
    """An image that left the pipeline because its chunk was abandoned. Nothing is written."""

    index: int


@dataclass(frozen=True)
class Embedded:
    """The embedding of an image, float16 (C, h, w). `height` and `width` are those of the upright image."""

    index: int
    height: int
    width: int
    values: NDArray[np.float16]
    timings_ms: dict[str, float]


@dataclass(frozen=True)
class Unchanged:
    """The caller has what would be computed."""

    index: int


Result = Done | Reused | Failed
Outcome = Result | Large | Embedded | Unchanged | Dropped
"""The tickets of a chunk end as Result, Large or Dropped."""


@dataclass(eq=False)
class Ticket:
    """Handed from stage to stage. Only the stage that holds it changes it. It ends as one Outcome."""

    index: int
    uri: str
    task: Wanted
    model: Model
    sink: "SimpleQueue[Outcome]"
    abandoned: threading.Event
    interactive: bool = False
    depth: Depth = Depth.AUTO
    bands: Bands | None = None
    job_id: UUID | None = None
    traceparent: str | None = None
    """Of the span of its chunk, where traces are on."""
    fingerprint_of: Callable[[str], bytes] | None = None
    """The fingerprint of the result, from a tag that changes with the object's content."""
    find: Callable[[bytes], Earlier | None] | None = None
    """Finds an earlier result by its fingerprint. None: the item is computed in any case."""
    is_known: Callable[[bytes], bool] | None = None
    """Whether the caller has what is computed of these bytes. Asked before they are decoded."""
    fingerprint: bytes | None = None
    earlier: Earlier | None = None
    timings_ms: dict[str, float] = field(default_factory=dict)
    tiling: Tiling | None = None
    """An image that does not fit into one window ends as Large."""
    region: Region | None = None
    """Only this window is wanted."""
    tag: str | None = None
    """The object's. Changes with its content."""
    data: bytes = b""
    picture: Picture | None = None
    """What was read by windows. Then there is no `data`."""
    height: int = 0
    width: int = 0
    orientation: int = 1
    frames: int | None = None
    georeference: Georeference | None = None
    warnings: list[dict[str, Any]] = field(default_factory=list)
    prepared: Any = None
    raw: Any = None
