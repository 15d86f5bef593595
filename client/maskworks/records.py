"""What the server answers, as frozen records. Fields that a later server adds are ignored."""

from datetime import datetime
from typing import Any

from msgspec import Struct, field

from maskworks.masks import RLE, Mask, TiledMask


class Counts(Struct, frozen=True):
    """How many items of a job are in each state. They always add up to `total`."""

    total: int
    pending: int
    running: int
    succeeded: int
    failed: int
    cancelled: int
    expired: int


class Tiles(Struct, frozen=True):
    """Windows of the images that are being segmented by windows."""

    items: int
    done: int
    total: int


class Progress(Struct, frozen=True):
    fraction: float
    items_per_second: float | None = None
    eta_seconds: float | None = None
    tiles: Tiles | None = None


class FailureCount(Struct, frozen=True):
    reason: str
    count: int


class Failure(Struct, frozen=True):
    """Why a job or its output ended early."""

    reason: str
    detail: str | None = None

    def __str__(self) -> str:
        return f"{self.reason}: {self.detail}" if self.detail else self.reason


class OutputLink(Struct, frozen=True):
    url: str
    format: str | None = None
    number: int | None = None


class Output(Struct, frozen=True):
    """The files that a job writes to S3."""

    uri: str
    formats: list[str]
    state: str
    manifest: str | None = None
    error: Failure | None = None
    links: list[OutputLink] | None = None
    links_expire_time: datetime | None = None


class JobRecord(Struct, frozen=True):
    """A job as the server last described it."""

    id: str
    state: str
    done: bool
    model: str
    task: dict[str, Any]
    input: dict[str, Any]
    create_time: datetime
    counts: Counts
    progress: Progress
    name: str | None = None
    labels: dict[str, str] = field(default_factory=dict)
    precision: str | None = None
    priority: int = 5
    deadline: datetime | None = None
    max_failure_ratio: float | None = None
    reuse: bool = False
    start_time: datetime | None = None
    end_time: datetime | None = None
    failures: list[FailureCount] = field(default_factory=list)
    passed_over: int = 0
    waiting_for: str | None = None
    waiting_detail: str | None = None
    error: Failure | None = None
    output: Output | None = None
    retry_of: str | None = None
    links: dict[str, str] = field(default_factory=dict)


class ItemError(Struct, frozen=True):
    reason: str
    detail: str | None = None
    retryable: bool = False


class ItemWarning(Struct, frozen=True):
    """A way in which a result differs from the request."""

    code: str
    detail: str
    prompt_id: str | None = None


class ReusedFrom(Struct, frozen=True):
    job_id: str
    item_id: str


class Georeference(Struct, frozen=True):
    """Where on the ground an image is. A point x, y in pixels is at a·x + b·y + c, d·x + e·y + f: east, north."""

    crs: str
    transform: tuple[float, float, float, float, float, float]


class Item(Struct, frozen=True):
    """One image of a job. `size` is [height, width] of the upright image."""

    id: str
    custom_id: str
    index: int
    image: str
    state: str
    attempt: int = 0
    error: ItemError | None = None
    size: tuple[int, int] | None = None
    orientation: int | None = None
    mask_count: int | None = None
    model: str | None = None
    model_revision: str | None = None
    precision: str | None = None
    timings_ms: dict[str, float] | None = None
    frames: int | None = None
    georeference: Georeference | None = None
    warnings: list[ItemWarning] = field(default_factory=list)
    reused_from: ReusedFrom | None = None


class Result(Item, frozen=True):
    """A final item with its masks."""

    masks: list[Mask] = field(default_factory=list)


class TiledResult(Item, frozen=True):
    """A final item with its masks cut into tiles of the image."""

    masks: list[TiledMask] = field(default_factory=list)


class Segmented(Struct, frozen=True):
    """The masks of one image that was segmented at once."""

    size: tuple[int, int]
    masks: list[Mask]
    model: str
    model_revision: str
    precision: str
    orientation: int = 1
    frames: int | None = None
    georeference: Georeference | None = None
    timings_ms: dict[str, float] = field(default_factory=dict)
    warnings: list[ItemWarning] = field(default_factory=list)


class WorkerGpu(Struct, frozen=True):
    name: str
    used_bytes: int
    total_bytes: int


class WorkerChunk(Struct, frozen=True):
    """A chunk of one of your jobs that a worker works on."""

    job_id: str
    chunk: int
    since: datetime


class WorkerStatus(Struct, frozen=True):
    """What a worker does now. `work` has chunks of your own jobs only; for others it is just `busy`."""

    memory_bytes: int
    busy: bool
    images_per_second: float
    gpu: WorkerGpu | None = None
    work: list[WorkerChunk] = field(default_factory=list)


class ModelWorker(Struct, frozen=True):
    device: str
    precision: str
    revision: str
    tasks: list[str] = field(default_factory=list)
    id: str | None = None
    status: WorkerStatus | None = None


class Model(Struct, frozen=True):
    """A model that jobs may name.

    `loaded`: whether a live worker has it in memory. `decoders`: revisions whose mask decoder can be downloaded.
    """

    name: str
    default: bool
    loaded: bool
    parameters: int | None = None
    licence: str | None = None
    workers: list[ModelWorker] = field(default_factory=list)
    decoders: list[str] = field(default_factory=list)


class Uploads(Struct, frozen=True):
    """Whether the server takes images, where yours go, and how large they may be."""

    enabled: bool
    max_bytes: int
    folder: str | None = None


class Uploaded(Struct, frozen=True):
    """An image that the server has stored. A job names it by `image`."""

    image: str
    size: int
    sha256: str
    format: str


class AnnotationSource(Struct, frozen=True):
    """The mask of a job that an annotation is of."""

    job_id: str
    item_index: int
    mask_id: int


class Annotation(Struct, frozen=True):
    """A mask of an image, who decided about it, and how."""

    id: str
    image: str
    segmentation: RLE
    bbox: tuple[int, int, int, int]
    area: int
    state: str
    stage: str
    annotator: str
    clicks: int
    create_time: datetime
    source: AnnotationSource | None = None


class Validation(Struct, frozen=True):
    """What the server says of a job that is only checked."""

    valid: bool
    counts: dict[str, int | None]
    errors: list[dict[str, str]]


class Event(Struct, frozen=True):
    """A change of a job: `progress`, or `done` as the last one."""

    id: str
    type: str
    job: JobRecord
