"""One claimed chunk from its first image to its end: admit, collect, write, and give back what is not finished.

Runs in a thread of a Celery slot. No transaction is open while images are fetched or computed.

Invariant: every image that the gate let in leaves it once. The pipeline lets it out with its outcome. Where an image
does not reach the pipeline, because its admission was refused or no ticket could be made of it, this file does.
"""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from queue import Empty, SimpleQueue

from pydantic import ValidationError
from sqlalchemy import Engine

from db.allow_list import AllowList
from db.endings import finish_job
from db.engine import DATABASE_ERRORS, is_about_data
from db.limits import MAX_INFLIGHT
from db.statements import lease as sql
from db.statements.lease import Fence
from db.states import ItemReason
from db.traces import traceparent
from intake.fingerprint import Model as MadeBy
from intake.fingerprint import fingerprint, task_of
from model.spec import Task
from model.tiles.automatic import tiling_of
from workers.chunks.earlier import EarlierResults
from workers.chunks.lease import Claim, Item, LeaseKeeper, LeaseLost, give_back, park
from workers.chunks.recorder import Recorder
from workers.chunks.slots import StepAside
from workers.chunks.tile_plan import Plan
from workers.chunks.tiled import Stopped, TiledItems, TileJob
from workers.failures import Failure, failure_of
from workers.pipeline.pipeline import Pipeline
from workers.pipeline.ticket import Failed, Large, Model, Outcome, Result, Ticket
from workers.settings import Settings
from workers.storage.client import check_allowed
from workers.testing import crash_points

log = logging.getLogger(__name__)

_POLL = 0.1
LINGER = 0.25
"""Seconds to wait after the first image's result of a batch before it is written."""


class End(StrEnum):
    """How this process's work on a chunk ended, for the log and the tests."""

    DONE = "done"
    GIVEN_BACK = "given back"
    LOST = "lost"
    FAILED = "failed"
    """An unexpected error ended the attempt, and the chunk was charged for it."""


@dataclass(frozen=True)
class Tools:
    """What every chunk of a process works with."""

    engine: Engine
    single: Engine
    """The same pool in autocommit, for single statements. It saves two round trips."""
    settings: Settings
    pipeline: Pipeline
    keeper: LeaseKeeper
    stopping: threading.Event
    earlier: EarlierResults


class ChunkRun:
    """Works off one claim."""

    def __init__(self, tools: Tools, claim: Claim, model: Model, step_aside: StepAside = lambda: None) -> None:
        self._tools = tools
        self._claim = claim
        self._model = model
        self._step_aside = step_aside
        self._sink: SimpleQueue[Outcome] = SimpleQueue()
        self._abandoned = threading.Event()
        self._inflight: set[int] = set()
        self._suspects = {item.index for item in claim.items if item.suspect}
        self._traceparent = traceparent()
        self._recorder = Recorder(tools.engine, tools.settings.lease_seconds, claim, model)
        self._tiled = TiledItems(tools.engine, tools.settings.lease_seconds, claim, model)
        self._until = time.monotonic() + tools.settings.chunk_seconds
        # Enough to keep every stage busy, and few enough that a crash makes few suspects.
        self._window = min(MAX_INFLIGHT, max(8, 4 * model.batch_images))
        # A window is stored at once, so that a crash costs none that is finished.
        self._linger = LINGER if claim.plan is None else 0.0

    @property
    def computed(self) -> int:
        """Items that have a result by now and did not take it over."""
        return self._recorder.computed

    def run(self) -> End:
        """Work until done, lost, or time to give back. The caller keeps the lease renewed meanwhile.

        Raises unexpected errors. Giving the chunk back uncharged would repeat them for ever.
        """
        try:
            ended = self._tiled.ended()
            later = self._tiled.waiting | {job.index for job in ended}
            items = [item for item in self._claim.items if item.index not in later]
            self._together(deque(item for item in items if not item.suspect))
            for item in items:
                if item.suspect and not self._must_end():
                    self._by_itself(item)
            for job in ended:
                if not self._must_end():
                    self._merge(job)
            return self._end()
        except LeaseLost:
            return End.LOST
        except DATABASE_ERRORS as error:
            if is_about_data(error):
                raise
            # The outcome of a commit may be unknown. The next claim finds out.
            log.exception("the database failed during chunk %s", self._claim.fence)
            return self._give_back()
        finally:
            self._abandoned.set()

    def _end(self) -> End:
        if self._recorder.missing == 0:
            crash_points.reach("done", self._claim.fence.job_id)
            with self._tools.single.connect() as connection:
                finish_job(connection, self._claim.fence.job_id)
            return End.DONE
        waiting = self._recorder.missing == len(self._tiled.waiting)
        return self._give_back(partial(park, crowded=self._tiled.crowded) if waiting else give_back)

    def _give_back(self, how: Callable[[Engine, Fence, threading.Event], bool] = give_back) -> End:
        self._abandoned.set()
        held = how(self._tools.engine, self._claim.fence, self._tools.stopping)
        return End.GIVEN_BACK if held else End.LOST

    def _together(self, waiting: deque[Item]) -> None:
        while (waiting or self._inflight) and not self._tools.stopping.is_set():
            batch = self._collect(more=bool(waiting))
            if self._tools.stopping.is_set():
                self._recorder.write(batch, self._inflight)
                return
            # Results are written at once. Only without any does it wait for a suspect that runs alone.
            self._advance(batch, self._next(waiting, patient=not batch))
            if self._must_end() and not self._inflight:
                return

    def _by_itself(self, item: Item) -> None:
        """Run a suspect while nothing else of this process is in flight, so that a death is charged to it alone."""
        with self._tools.pipeline.gate.alone(self._must_end) as admitted:
            if admitted:
                self._admit([item], alone=True)
            while self._inflight and not self._tools.stopping.is_set():
                self._recorder.write(self._collect(), self._inflight)

    def _merge(self, job: TileJob) -> None:
        """Make the result of an item from its tiles. A suspect is merged while nothing else is in flight."""
        gate, suspect = self._tools.pipeline.gate, job.index in self._suspects
        alone = gate.alone(self._must_end) if suspect else nullcontext(gate.enter(1, self._must_end))
        with alone as admitted:
            if not admitted:
                return
            try:
                self._note([job.index], suspect)
                result = self._tiled.merged(job, self._stopped)
            except Stopped:
                return
            finally:
                gate.leave()
        if result is not None:
            self._recorder.write([result], set())

    def _next(self, waiting: deque[Item], patient: bool) -> list[Item]:
        """Items that the gate lets in now. Without patience there are none while the gate is closed."""
        room = self._window - len(self._inflight)
        if not waiting or self._must_end() or (self._inflight and room < self._window // 2):
            return []
        admitted = [waiting.popleft() for _ in range(min(room, len(waiting)))]
        if self._tools.pipeline.gate.enter(len(admitted), lambda: not patient or self._must_end()):
            return admitted
        waiting.extendleft(reversed(admitted))
        return []

    def _admit(self, items: list[Item], alone: bool = False) -> None:
        """Write down `items` as in flight, then submit them. The gate has let them in."""
        if not items:
            return
        with self._refunded(len(items)):
            crash_points.reach("admitting", self._claim.fence.job_id)
            self._note(sorted(self._inflight | {item.index for item in items}), alone)
        self._submit(items)

    def _note(self, inflight: list[int], alone: bool) -> None:
        """Write down what is in flight. Raises LeaseLost."""
        lease_seconds = self._tools.settings.lease_seconds
        admission = sql.admit(self._claim.fence, lease_seconds=lease_seconds, inflight=inflight, alone=alone)
        with self._tools.single.connect() as connection:
            if connection.execute(*admission).one_or_none() is None:
                raise LeaseLost

    def _advance(self, batch: list[Result], admitted: list[Item]) -> None:
        """Write a batch and the next admissions in one transaction. Without a batch there is no progress to record."""
        if not batch:
            self._admit(admitted)
            return
        with self._refunded(len(admitted)):
            self._recorder.write(batch, self._inflight | {item.index for item in admitted})
        self._submit(admitted)

    @contextmanager
    def _refunded(self, images: int) -> Iterator[None]:
        """Let images out of the gate again where their admission could not be written."""
        try:
            yield
        except BaseException:
            self._tools.pipeline.gate.leave(images)
            raise

    def _submit(self, items: list[Item]) -> None:
        """Put every item into the pipeline. One that no ticket can be made of fails."""
        for item in items:
            self._inflight.add(item.index)
            try:
                self._tools.pipeline.submit(self._ticket(item))
            except Exception as error:  # noqa: BLE001  the failure table gives the item its reason
                self._tools.pipeline.gate.leave()
                self._sink.put(Failed(item.index, self._no_ticket(item, error), {}))

    def _no_ticket(self, item: Item, error: Exception) -> Failure:
        """The API validates items, but a row written by another program may still be wrong."""
        if isinstance(error, ValidationError):
            return Failure(ItemReason.INVALID_MANIFEST_LINE, str(error)[:500], retryable=False)
        log.error("item %d of chunk %s cannot be submitted", item.index, self._claim.fence, exc_info=error)
        return failure_of(error)

    def _ticket(self, item: Item) -> Ticket:
        claim, task = self._claim, self._task(item)
        tile = self._tiled.tile(item)
        made_by = MadeBy(self._model.name, self._model.revision_of(task.type), self._model.precision)
        of_content = partial(
            fingerprint,
            tenant=claim.tenant,
            image=item.image,
            model=made_by,
            task=task,
            depth=claim.depth,
            bands=claim.bands,
            tile=tile,
        )
        check_allowed(item.image, AllowList(self._tools.settings.buckets, claim.places))
        return Ticket(
            index=item.index,
            uri=item.image,
            task=task,
            model=self._model,
            tiling=None if tile is None else tiling_of(tile, self._model.name),
            region=None if claim.plan is None else Plan.read(claim.plan).region(item.tile),
            # No tile: a part of an image must not be taken for all of it.
            fingerprint_of=None if claim.plan is not None else of_content,
            find=partial(self._tools.earlier.find, claim.tenant) if claim.reuse else None,
            sink=self._sink,
            abandoned=self._abandoned,
            job_id=claim.fence.job_id,
            traceparent=self._traceparent,
            depth=claim.depth,
            bands=claim.bands,
            timings_ms={"queue": claim.queue_ms},
        )

    def _task(self, item: Item) -> Task:
        return task_of(self._claim.task, self._claim.prompts if item.prompts is None else item.prompts)

    def _collect(self, more: bool = False) -> list[Result]:
        """Wait for the first result, then a little longer for others in flight.

        `more`: images wait to be admitted. They are admitted once half of the window is free.
        """
        enough = self._window // 2 if more else self._window
        batch: list[Result] = []
        linger_until = None
        while self._inflight and not self._tools.stopping.is_set() and len(batch) < enough:
            if self._claim.lost.is_set():
                raise LeaseLost
            wait = _POLL if linger_until is None else min(_POLL, linger_until - time.monotonic())
            try:
                outcome = self._sink.get(timeout=max(0.0, wait))
            except Empty:
                if wait <= 0:
                    break
                if self._tools.pipeline.has_only_slow(self._sink, len(self._inflight)):
                    self._step_aside()
                continue
            self._inflight.discard(outcome.index)
            if isinstance(outcome, Large):
                planned = self._tiled.plan(outcome, self._inflight)
                batch += [] if planned is None else [planned]
            elif isinstance(outcome, Result):
                batch.append(outcome)
                linger_until = linger_until or time.monotonic() + self._linger
        return batch

    def _must_end(self) -> bool:
        return self._stopped() or time.monotonic() > self._until

    def _stopped(self) -> bool:
        return self._tools.stopping.is_set() or self._claim.lost.is_set()
