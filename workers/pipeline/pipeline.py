"""The pipeline of a worker: fetch, decode, GPU batch, RLE. It knows nothing of Postgres or Celery.

    submit ─▶ [fetch threads] ─▶ [decode threads: pixels, model.pre] ─▶ two-level queue ─▶ [GPU threads: model.core]
                                       │ the number of decoded images is limited                 │
                                       └────────────────── slots given back ◀────────────────────┤
    ticket.sink ◀────────────────────────────── [RLE threads: model.post] ◀──────────────────────┘

Interactive tickets have threads and queues of their own beside the GPU threads, so that they wait for no bulk image but
those on the GPU. A ticket that has its data already goes to the decode threads.

Every ticket comes out, as Done, Failed, Large or Dropped. A stage that raises fails its ticket and goes on.
"""

import logging
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import replace
from functools import partial
from queue import SimpleQueue
from typing import Any

from db.image_page import page_of
from db.states import ItemReason
from db.traces import Value, span
from db.web_image import shown_image
from model.errors import DeviceLost, OutOfMemory
from model.spec import Embed, Wanted
from workers.failures import ItemFailed, failure_of
from workers.images import decode
from workers.pipeline.fair_queue import FairQueue
from workers.pipeline.fetching import FetchStage
from workers.pipeline.gate import Gate
from workers.pipeline.gpu_queue import GpuQueue
from workers.pipeline.metrics import BATCH_IMAGES, BATCH_SECONDS
from workers.pipeline.pictures import Pictures, hinted, larger
from workers.pipeline.prompts import answerable, empty_masks
from workers.pipeline.ticket import (
    Done,
    Dropped,
    Embedded,
    Failed,
    Large,
    Outcome,
    Picture,
    Reused,
    Ticket,
    Unchanged,
    warning,
)
from workers.settings import Settings
from workers.storage.reading import GivenUp, Objects
from workers.testing import crash_points

log = logging.getLogger(__name__)

_IDLE_TICK = 1.0
_RLE_THREADS = 2
INTERACTIVE_FETCHES = 8
"""Objects fetched at a time for interactive tickets, not counting slow ones."""
_EXIT_DEVICE_LOST = 71


class _Lane:
    """Queues beside the GPU's, and a limit on decoded images. Bulk and interactive tickets have one each."""

    def __init__(self, fetch: FetchStage, decoded: int) -> None:
        self.fetch = fetch
        self.decode = FairQueue()
        self.decoded = threading.Semaphore(decoded)
        self.rle: SimpleQueue[Ticket] = SimpleQueue()


class Pipeline:
    """Daemon threads between queues. A caller enters `gate` before `submit`; the pipeline leaves it."""

    def __init__(self, settings: Settings, s3: Any, largest_batch: int, batches_at_once: int = 1) -> None:
        self.gate = Gate()
        self._settings = settings
        self._stop = threading.Event()
        self._gpu = GpuQueue()
        objects, pictures = Objects(s3, settings), Pictures(settings.max_image_pixels)
        # Decoded images take the memory. There are the batches on the GPU, and one that is ready.
        decoded = (batches_at_once + 1) * largest_batch + settings.decode_threads
        self._bulk = _Lane(FetchStage(objects, pictures, settings.fetch_threads, self._stop, self._fetched), decoded)
        interactive = FetchStage(objects, pictures, INTERACTIVE_FETCHES, self._stop, self._fetched)
        self._interactive = _Lane(interactive, largest_batch + settings.decode_threads)
        self._began: list[float | None] = [None] * batches_at_once  # when each GPU thread began its batch
        self._counting = threading.Lock()
        self._images = 0

    def start(self) -> None:
        for lane in (self._bulk, self._interactive):
            lane.fetch.start()
            self._spawn("decode", self._settings.decode_threads, partial(self._serve, lane.decode, self._decode_one))
            self._spawn("rle", _RLE_THREADS, partial(self._serve, lane.rle, self._rle_one))
        for i in range(len(self._began)):
            self._spawn(f"gpu-{i}", 1, partial(self._gpu_loop, i))

    def stop(self) -> None:
        """Stop waiting on storage and take no more GPU batches. Nobody waits for the threads: they are daemons."""
        self._stop.set()

    def submit(self, ticket: Ticket) -> None:
        lane = self._lane(ticket)
        if ticket.data:
            lane.decode.put(ticket)
        else:
            lane.fetch.put(ticket)

    def has_only_slow(self, sink: object, images: int) -> bool:
        """Whether all `images` that a chunk has in flight are slow objects being fetched."""
        return self._bulk.fetch.slow_of(sink) == images

    @property
    def images(self) -> int:
        """How many have come out with what was asked for."""
        return self._images

    def busy_for(self) -> float:
        """Seconds since the oldest running GPU batch began. 0 between batches."""
        since = min((began for began in self._began if began is not None), default=None)
        return 0.0 if since is None else time.monotonic() - since

    def _lane(self, ticket: Ticket) -> _Lane:
        return self._interactive if ticket.interactive else self._bulk

    def _spawn(self, name: str, count: int, target: Callable[[], None]) -> None:
        for i in range(count):
            threading.Thread(target=target, name=f"{name}-{i}", daemon=True).start()

    def _serve(self, source: "SimpleQueue[Ticket] | FairQueue", step: Callable[[Ticket], None]) -> None:
        while True:
            ticket = source.get()
            if ticket.abandoned.is_set():
                self._leave(ticket, Dropped(ticket.index))
                continue
            try:
                step(ticket)
            except BaseException as error:  # noqa: BLE001  extensions may raise a BaseException; the stage goes on
                self._fail(ticket, error)

    def _fetched(self, ticket: Ticket, error: BaseException | None) -> None:
        if error is None and ticket.earlier is not None:
            self._leave(ticket, Reused(ticket.index, ticket.earlier, ticket.timings_ms))
        elif error is None:
            self._lane(ticket).decode.put(ticket)
        elif isinstance(error, GivenUp):
            self._leave(ticket, Dropped(ticket.index))
        else:
            self._fail(ticket, error)

    def _decode_one(self, ticket: Ticket) -> None:
        if ticket.is_known is not None and ticket.is_known(ticket.data):
            self._leave(ticket, Unchanged(ticket.index))
            return
        decoded = self._lane(ticket).decoded
        decoded.acquire()
        try:
            with _timed(ticket, "decode"):
                crash_points.reach("decoding", ticket.job_id)
                picture = ticket.picture or self._decoded(ticket)
                ticket.data, ticket.picture = b"", None
                ticket.height, ticket.width = picture.height, picture.width
                ticket.orientation, ticket.frames = picture.orientation, picture.frames
                ticket.georeference = picture.georeference
                ticket.warnings += [warning(code, detail) for code, detail in picture.warnings]
                wanted = answerable(ticket)
                pixels = None if larger(picture.height, picture.width, ticket) else picture.pixels
                if pixels is not None:
                    ticket.prepared = ticket.model.pre(pixels, wanted)
        except BaseException:
            decoded.release()
            raise
        if pixels is not None:
            self._gpu.put(ticket)
        else:
            decoded.release()
            self._leave(ticket, _large(ticket, picture, wanted))

    def _decoded(self, ticket: Ticket) -> Picture:
        most, page = self._settings.max_image_pixels, page_of(ticket.uri)
        upright = decode(ticket.data, most, ticket.depth, page, ticket.bands)
        height, width = upright.pixels.shape[:2]
        return Picture(
            pixels=upright.pixels,
            height=height,
            width=width,
            orientation=upright.orientation,
            frames=upright.frames,
            georeference=upright.georeference,
            warnings=upright.warnings,
        )

    def _gpu_loop(self, loop: int) -> None:
        while not self._stop.is_set():
            self._touch()
            batch = self._gpu.take(_IDLE_TICK)
            wanted = [ticket for ticket in batch if not ticket.abandoned.is_set()]
            if wanted:
                self._began[loop] = time.monotonic()
                self._compute(wanted)
                self._began[loop] = None
            for ticket in batch:
                self._lane(ticket).decoded.release()
                if ticket not in wanted:
                    self._leave(ticket, Dropped(ticket.index))

    def _compute(self, batch: list[Ticket]) -> None:
        """Run one batch. Out of memory, it is halved. After any other error each image runs by itself."""
        started = time.perf_counter()
        try:
            for ticket in batch:
                crash_points.reach("computing", ticket.job_id)
            with _traced(batch):
                raws = batch[0].model.core([ticket.prepared for ticket in batch])
            if len(raws) != len(batch):
                raise RuntimeError(f"the model gave {len(raws)} answers to {len(batch)} images")
            crash_points.reach("computed", batch[0].job_id)
        except DeviceLost:
            log.critical("the device is lost; ending the process, its leases run out", exc_info=True)
            os._exit(_EXIT_DEVICE_LOST)
        except BaseException as error:  # noqa: BLE001  the failure table gives the image its reason
            self._compute_less(batch, error)
            return
        seconds, model = time.perf_counter() - started, batch[0].model.name
        BATCH_IMAGES.labels(model).observe(len(batch))
        BATCH_SECONDS.labels(model).inc(seconds)
        share = seconds * 1000 / len(batch)
        for ticket, raw in zip(batch, raws, strict=True):
            encode = min(share, raw.encode_ms)
            ticket.timings_ms |= {"encode": round(encode, 3), "mask": round(share - encode, 3)}
            ticket.prepared, ticket.raw = None, raw
            self._lane(ticket).rle.put(ticket)

    def _compute_less(self, batch: list[Ticket], error: BaseException) -> None:
        if len(batch) == 1:
            self._fail(batch[0], error)
            return
        half = len(batch) // 2 if isinstance(error, OutOfMemory | MemoryError) else 1
        log.warning("a batch of %d failed (%s); trying %d at a time", len(batch), type(error).__name__, half)
        for start in range(0, len(batch), half):
            self._compute(batch[start : start + half])

    def _rle_one(self, ticket: Ticket) -> None:
        self._leave(ticket, self._embedded(ticket) if isinstance(ticket.task, Embed) else self._done(ticket))

    def _embedded(self, ticket: Ticket) -> Embedded:
        values = ticket.model.post_embedding(ticket.raw)
        return Embedded(ticket.index, ticket.height, ticket.width, values, ticket.timings_ms)

    def _done(self, ticket: Ticket) -> Done:
        with _timed(ticket, "rle"):
            crash_points.reach("encoding", ticket.job_id)
            masks = ticket.model.post(ticket.raw)
        ticket.raw = None
        ticket.warnings += empty_masks(masks)
        return Done(
            index=ticket.index,
            height=ticket.height,
            width=ticket.width,
            orientation=ticket.orientation,
            masks=masks,
            timings_ms=ticket.timings_ms,
            frames=ticket.frames,
            georeference=ticket.georeference,
            warnings=ticket.warnings,
            fingerprint=ticket.fingerprint,
        )

    def _fail(self, ticket: Ticket, error: BaseException) -> None:
        failure = failure_of(hinted(error, ticket) if isinstance(error, ItemFailed) else error)
        if failure.reason is ItemReason.INTERNAL:
            log.error("item %d (%s) failed", ticket.index, shown_image(ticket.uri), exc_info=error)
        self._leave(ticket, Failed(ticket.index, failure, ticket.timings_ms))

    def _leave(self, ticket: Ticket, outcome: Outcome) -> None:
        ticket.prepared = ticket.raw = None
        if isinstance(outcome, Done | Reused | Embedded):
            with self._counting:
                self._images += 1
        self.gate.leave()
        ticket.sink.put(outcome)

    def _touch(self) -> None:
        if self._settings.health_dir is None:
            return
        try:
            (self._settings.health_dir / "gpu-loop").touch()
        except OSError:  # the probe notices; images need no file
            log.warning("cannot touch the file of the liveness probe", exc_info=True)


def _large(ticket: Ticket, picture: Picture, wanted: Wanted) -> Large:
    assert not isinstance(wanted, Embed)
    return Large(
        index=ticket.index,
        picture=replace(picture, pixels=None),
        warnings=ticket.warnings,
        task=wanted,
        tag=ticket.tag,
        fingerprint=ticket.fingerprint,
        timings_ms=ticket.timings_ms,
    )


@contextmanager
def _timed(ticket: Ticket, stage: str) -> Iterator[None]:
    started = time.perf_counter()
    yield
    ticket.timings_ms[stage] = round((time.perf_counter() - started) * 1000, 3)


def _traced(batch: list[Ticket]) -> AbstractContextManager[object]:
    """The span of a batch, under that of its first chunk."""
    chunks = list(dict.fromkeys(ticket.traceparent for ticket in batch if ticket.traceparent is not None))
    if not chunks:
        return nullcontext()
    model = batch[0].model
    used: dict[str, Value] = {
        "images": len(batch),
        "model": model.name,
        "device": model.device,
        "precision": model.precision,
    }
    return span("batch", used, of=chunks[0], also_of=chunks[1:])
