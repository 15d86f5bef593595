"""One image on its way through the pipeline, and what comes out of it."""

import threading
from dataclasses import dataclass, field
from queue import SimpleQueue
from typing import Any
from uuid import UUID

from db.states import Depth, WarningCode
from model.masks.mask import Mask
from model.protocol import SegmenterProtocol
from model.spec import Task
from workers.failures import Failure

Model = SegmenterProtocol[Any, Any]


def warning(code: WarningCode, detail: str, prompt_id: str | None = None) -> dict[str, Any]:
    """One entry of an item's `warnings`: the item succeeds, but not quite as asked."""
    return {"code": code.value, "detail": detail, "prompt_id": prompt_id}


@dataclass(frozen=True)
class Done:
    """An image's masks, in original pixels of the upright image."""

    index: int
    height: int
    width: int
    orientation: int
    masks: list[Mask]
    timings_ms: dict[str, float]
    frames: int | None = None
    warnings: list[dict[str, Any]] = field(default_factory=list)


@dataclass(frozen=True)
class Failed:
    """An item that will not be tried again in this job."""

    index: int
    failure: Failure
    timings_ms: dict[str, float]


@dataclass(frozen=True)
class Dropped:
    """Left the pipeline because its chunk was abandoned; nothing is to be written."""

    index: int


Outcome = Done | Failed | Dropped


@dataclass(eq=False)
class Ticket:
    """Handed from stage to stage; only the stage that holds it touches it. Every ticket ends as one Outcome."""

    index: int
    uri: str
    task: Task
    model: Model
    sink: "SimpleQueue[Outcome]"
    abandoned: threading.Event
    interactive: bool = False
    depth: Depth = Depth.AUTO
    job_id: UUID | None = None
    timings_ms: dict[str, float] = field(default_factory=dict)
    data: bytes = b""
    height: int = 0
    width: int = 0
    orientation: int = 1
    frames: int | None = None
    warnings: list[dict[str, Any]] = field(default_factory=list)
    prepared: Any = None
    raw: Any = None
