"""A worker process: its models, pipeline and leases, its row in `workers`, and the watchdog of its batches."""

import logging
import os
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID

from PIL import Image

from db.engine import DATABASE_ERRORS, is_about_data, single_statements, sync_engine
from db.ids import show_job_id, show_worker_id
from db.limits import MAX_INFLIGHT
from db.logs import about
from db.statements import register, scaling
from db.traces import Note, Value, span, traceparent
from workers.chunks import attempts
from workers.chunks.chunk import ChunkRun, End, Tools
from workers.chunks.earlier import EarlierResults
from workers.chunks.lease import Claim, LeaseKeeper, claim
from workers.chunks.metrics import CHUNKS
from workers.chunks.paces import Paces
from workers.chunks.slots import Slots, StepAside
from workers.instant.calls import Calls
from workers.pipeline.models import Models
from workers.pipeline.pipeline import INTERACTIVE_FETCHES, Pipeline
from workers.pipeline.ticket import Model
from workers.report import Reporter, rss_bytes
from workers.settings import Settings
from workers.storage.client import s3_client
from workers.testing import crash_points

log = logging.getLogger(__name__)

_SEEN_EVERY = 2.0
_CHUNKS_SECONDS = 4.0
"""Time for chunks to give their leases back. Each tries for a little less."""
_CALLS_SECONDS = 4.0
"""Time for the calls under way to be answered."""
_EXIT_HUNG = 70


class Worker:
    """Takes work once `start` has loaded the models."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.id = f"{socket.gethostname()}-{os.getpid()}"
        self.stopping = threading.Event()
        self.slots = Slots(self.segment_chunk)
        # one connection for each slot, one for the heartbeat, one for the register, one to look up earlier results
        self._engine = sync_engine(settings.database_url, pool_size=settings.slots + 3)
        self._s3 = s3_client(settings, settings.fetch_threads + settings.slots * MAX_INFLIGHT + INTERACTIVE_FETCHES)
        self._models = Models(settings, self._s3)
        self._paces = Paces(self.id)
        self._reporter = Reporter(self._models.device)
        self._tools: Tools | None = None
        self._calls: Calls | None = None
        self._registered: list[Model] = []
        self._watchdog = threading.Thread(target=self._live, name="watchdog", daemon=True)

    def start(self) -> None:
        """Load and warm the models, start every thread, register. Raises ModelError where weights are missing."""
        Image.MAX_IMAGE_PIXELS = None  # the limit is our own setting, checked before decoding
        logging.getLogger("tifffile").setLevel(logging.CRITICAL)  # the item says what is wrong with its file
        self._mark_unready()
        self._registered = self._models.warm()
        largest = max(model.batch_images for model in self._registered)
        pipeline = Pipeline(self.settings, self._s3, largest, self._models.batches_at_once)
        keeper = LeaseKeeper(self._engine, self.settings.lease_seconds, lambda: not self._hung(pipeline))
        self._tools = Tools(
            self._engine,
            (single := single_statements(self._engine)),
            self.settings,
            pipeline,
            keeper,
            self.stopping,
            EarlierResults(single),
        )
        pipeline.start()
        keeper.start()
        self._calls = Calls(self.settings, self.id, self._models, pipeline, self.stopping)
        self._calls.start()
        self._sign()
        self._watchdog.start()
        if self.settings.health_dir is not None:
            (self.settings.health_dir / "loaded").touch()
        named = f"{self.id} ({show_worker_id(self.id)})"
        log.info("worker %s ready: %s on %s", named, ", ".join(self.settings.models), self._models.device)

    def segment_chunk(self, job_id: UUID, chunk_no: int, step_aside: StepAside = lambda: None) -> End | None:
        """Claim and work off one chunk. None: the chunk could not be claimed, and the message is forgotten.

        Raises nothing. An unexpected error is charged to the chunk, which fails after a few of them.
        """
        tools = self._tools
        if tools is None or self.stopping.is_set():
            return None
        with about(job=show_job_id(job_id), chunk=chunk_no):
            return self._segment(tools, job_id, chunk_no, step_aside)

    def _segment(self, tools: Tools, job_id: UUID, chunk_no: int, step_aside: StepAside) -> End | None:
        held = self._claim(job_id, chunk_no)
        if held is None:
            return None
        tools.keeper.add(held)
        try:
            crash_points.reach("claimed", job_id)
            model = self._models.get(held.model, held.precision)
            with self._paces.run(held.model, held.task["type"]) as pace, _traced(held) as note:
                run = ChunkRun(tools, held, model, step_aside)
                end = run.run()
                pace.items = run.computed
                note(end=end.value)
        except Exception as error:
            log.exception("chunk %s failed", held.fence)
            end = attempts.failed(self._engine, held, error)
        finally:
            tools.keeper.remove(held)
        CHUNKS.labels(end).inc()
        log.info("chunk %s %s", held.fence, end)
        return end

    def _claim(self, job_id: UUID, chunk_no: int) -> Claim | None:
        try:
            crash_points.reach("claiming", job_id)
            return claim(self._engine, job_id, chunk_no, self.id, self.settings.lease_seconds)
        except Exception as error:
            if isinstance(error, DATABASE_ERRORS) and not is_about_data(error):
                log.warning("could not claim chunk %s/%d, it is announced again: %s", job_id, chunk_no, error)
            else:
                log.exception("claiming chunk %s/%d failed", job_id, chunk_no)
                attempts.not_claimed(self._engine, job_id, chunk_no, error)
            return None

    def stop(self) -> None:
        """Leave the register. Setting `stopping` has made each chunk's thread give its chunk back."""
        self.stopping.set()
        if self._tools is None:
            return
        if self._calls is not None:
            self._calls.stop(_CALLS_SECONDS)
        self._tools.pipeline.stop()
        self._tools.keeper.join(_CHUNKS_SECONDS)
        self._tools.keeper.stop()
        self._watchdog.join(_SEEN_EVERY)
        try:
            self._keep_paces()
            with self._engine.begin() as connection:
                connection.execute(*register.sign_off(self.id))
        except DATABASE_ERRORS:
            log.warning("could not sign off; the register forgets this worker by itself", exc_info=True)
        self._s3.close()
        self._engine.dispose()

    def _mark_unready(self) -> None:
        """Remove the files of an earlier process. A pod's folder survives its container."""
        if self.settings.health_dir is None:
            return
        self.settings.health_dir.mkdir(parents=True, exist_ok=True)
        for name in ("loaded", "gpu-loop"):
            (self.settings.health_dir / name).unlink(missing_ok=True)

    def _live(self) -> None:
        hung = False
        while not self.stopping.wait(_SEEN_EVERY):
            # Seen twice: after the whole process stood still, the batch looks too old at the first look.
            before, hung = hung, self._tools is not None and self._hung(self._tools.pipeline)
            if before and hung:
                log.critical("no GPU batch for %.0f s: ending the process", self.settings.batch_seconds)
                os._exit(_EXIT_HUNG)
            try:
                self._recycle()
                self._sign()
                self._keep_paces()
            except DATABASE_ERRORS as error:
                log.warning("could not sign the register: %s", error)
            except Exception:  # this thread is the watchdog and must go on
                log.exception("could not sign the register")

    def _hung(self, pipeline: Pipeline) -> bool:
        return pipeline.busy_for() > self.settings.batch_seconds

    def _recycle(self) -> None:
        limit = self.settings.max_rss_bytes
        if limit is not None and rss_bytes() > limit:
            log.warning("above MAX_RSS_BYTES: leaving, to be restarted")
            os.kill(os.getpid(), signal.SIGTERM)

    def _sign(self) -> None:
        assert self._tools is not None and self._calls is not None
        claims, images = self._tools.keeper.held(), self._tools.pipeline.images
        report = self._reporter.report(claims, images, self._calls.under_way)
        loaded = [
            register.Registration(
                id=self.id,
                model=model.name,
                model_revision=model.revision,
                device=model.device,
                precision=model.precision,
                slots=self.settings.slots,
                tasks=list(model.tasks),
                report=report,
            )
            for model in self._registered
        ]
        with self._engine.begin() as connection:
            connection.execute(*register.sign(loaded))

    def _keep_paces(self) -> None:
        if paces := self._paces.changed():
            with self._engine.begin() as connection:
                connection.execute(*scaling.keep_paces(paces))


@contextmanager
def _traced(held: Claim) -> Iterator[Note]:
    """The span of a chunk, under that of its way through the queue, under that of its job's request."""
    ids: dict[str, Value] = {"job": show_job_id(held.fence.job_id), "chunk": held.fence.chunk_no}
    with span("dispatch", ids, of=held.traceparent, ago_ms=held.queue_ms):
        dispatched = traceparent()
    work: dict[str, Value] = {
        "attempt": held.attempt,
        "model": held.model,
        "task": held.task["type"],
        "images": len(held.items),
    }
    with span("chunk", {**ids, **work}, of=dispatched) as note:
        yield note
