"""The dispatcher's loop. One of several dispatchers leads.

In each round the leader takes back expired leases, stops and finishes jobs, asks for listings, outputs and webhooks,
fills the windows, sends lost messages again, tallies and samples. All of its statements are guarded, so a second leader
does no harm.
"""

import logging
import os
import socket
import threading
import time
from collections.abc import Callable

from sqlalchemy import Engine

from db.engine import DATABASE_ERRORS, single_statements, sync_engine
from db.partitions import ensure_partitions
from db.statements import leader, register, scaling
from workers.dispatcher import reaper, tiles
from workers.dispatcher.backlog import Backlog
from workers.dispatcher.ingest.ingester import Ingester
from workers.dispatcher.liveness import Beat
from workers.dispatcher.lost_messages import LostMessages
from workers.dispatcher.metrics import LEADING
from workers.dispatcher.output.outputs import Outputs
from workers.dispatcher.progress import ProgressSamples
from workers.dispatcher.retention import Retention
from workers.dispatcher.sender import Sender
from workers.dispatcher.settings import Settings
from workers.dispatcher.tallies import Tallies
from workers.dispatcher.unexpected_errors import UnexpectedErrors
from workers.dispatcher.wake_up import WakeUp
from workers.dispatcher.webhooks.webhooks import Webhooks
from workers.dispatcher.windows import Windows
from workers.storage.client import s3_client

log = logging.getLogger(__name__)

_BREATH = 0.02
_SPACING = 0.1
"""Seconds between two fillings. Chunks may end much more often, and the window holds enough of them."""
_HOUSEKEEPING = 3600.0


class Dispatcher:
    """The loop of one process, until `stop` is set."""

    def __init__(self, settings: Settings, stop: threading.Event) -> None:
        self._settings = settings
        self._stop = stop
        self._holder = f"{socket.gethostname()}-{os.getpid()}"
        self._engine: Engine = sync_engine(settings.database_url, pool_size=6)
        self._single = single_statements(self._engine)
        self._sender = Sender(settings.redis_url)
        self._leading = False
        self._ingester = Ingester(self._engine, s3_client(settings), settings, lambda: self._leading)
        writes = s3_client(settings, connections=2 * settings.outputs_at_once)
        self._outputs = Outputs(settings, writes, self._holder, lambda: self._leading)
        self._webhooks = Webhooks(self._engine, settings, lambda: self._leading)
        self._retention = Retention(self._engine, settings, lambda: self._leading)
        self._errors = UnexpectedErrors()
        self._windows = Windows(self._single, self._sender, self._errors, settings.window_per_slot)
        self._lost = LostMessages(self._single, self._sender, self._errors)
        self.backlog = Backlog(self._single)
        self._tallies = Tallies(self._single, self._errors)
        self._samples = ProgressSamples(self._single, self._errors)
        self._beat = Beat(settings.health_dir, settings.stall_seconds)
        self._round = 0.0
        self._filled = 0.0
        self._tidied = 0.0

    def run(self) -> None:
        """Lead or stand by until `stop`. An outage of the database does not end it."""
        self._sender.start()
        self._ingester.start()
        self._outputs.start()
        self._webhooks.start()
        self._retention.start()
        self._beat.start()
        wake_up = WakeUp(self._settings.database_url)
        while not self._stop.is_set():
            try:
                with self._errors.step("a round"):
                    self._tick()
            except DATABASE_ERRORS as error:
                log.warning("the database failed, trying again: %s", error)
                self._leading = False
                self.backlog.forget()
                self._stop.wait(0.5)
            self._beat.touch()
            with self._errors.step("waiting for a notification"):
                wake_up.wait(self._settings.tick_seconds, self._stop)
            self._stop.wait(max(_BREATH, self._filled + _SPACING - time.monotonic()))
        self._sender.stop()
        self._ingester.stop()
        self._outputs.stop()
        self._webhooks.stop()
        self._retention.stop()
        wake_up.close()
        self._resign()
        self._beat.stop()

    def _tick(self) -> None:
        """One round as leader, or one try to become the leader. Woken between two rounds, it only fills the windows."""
        now = time.monotonic()
        if now - self._round < self._settings.tick_seconds:
            if self._leading:
                self._step("filling the windows", self._fill_windows)
            return
        self._round = now
        if not self._lead():
            return
        self._step("taking back leases", lambda: reaper.reap_leases(self._engine, self._errors))
        self._step("stopping jobs", lambda: reaper.stop_jobs(self._engine, self._errors))
        self._step("finishing jobs", lambda: reaper.finish_jobs(self._engine, self._errors))
        self._step("looking after tiles", lambda: tiles.look_after(self._engine, self._errors))
        self._step("asking for listings", self._ingester.ask)
        self._step("asking for outputs", self._outputs.ask)
        self._step("asking for webhooks", self._webhooks.ask)
        self._step("asking for old jobs", self._retention.ask)
        self._step("filling the windows", self._fill_windows)
        self._step("announcing again", self._lost.send_again)
        self._step("tallying", self._tallies.add)
        self._step("sampling progress", self._samples.take)
        self._step("stopping jobs that fail", lambda: reaper.stop_exhausted(self._engine, self._errors))
        self._step("measuring what is left", self.backlog.measure)
        self._step("housekeeping", self._tidy)

    def _step(self, name: str, do: Callable[[], object]) -> None:
        """Run one step. An error leaves the other steps to be done, unless the database is away."""
        with self._errors.step(name):
            do()
        self._beat.touch()

    def _lead(self) -> bool:
        lead = leader.lead(self._holder, lease_seconds=self._settings.leader_seconds)
        with self._single.connect() as connection:
            leading = connection.execute(*lead).one_or_none() is not None
        if leading != self._leading:
            log.info("%s %s", self._holder, "leads" if leading else "stands by")
        self._leading = leading
        LEADING.set(leading)
        if not leading:
            self.backlog.forget()
        return leading

    def _fill_windows(self) -> None:
        self._filled = time.monotonic()
        self._windows.fill()

    def _tidy(self) -> None:
        if time.monotonic() - self._tidied < _HOUSEKEEPING and self._tidied:
            return
        self._tidied = time.monotonic()
        with self._engine.begin() as connection:
            ensure_partitions(connection)
            connection.execute(*register.forget_workers())
            connection.execute(*scaling.forget_paces())

    def _resign(self) -> None:
        try:
            with self._engine.begin() as connection:
                connection.execute(*leader.resign(self._holder))
        except DATABASE_ERRORS as error:
            log.warning("could not resign, the lease runs out instead: %s", error)
        self._engine.dispose()
