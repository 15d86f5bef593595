"""The dispatcher's loop. Of several dispatchers one leads.

Each tick the leader takes back expired leases, stops and finishes jobs, lists prefixes, fills the window of messages
in Redis and announces again what got lost. Everything it does is a guarded statement, so a second leader does no harm.
"""

import logging
import os
import socket
import threading
import time
from collections.abc import Callable

from sqlalchemy import Engine

from db.engine import DATABASE_ERRORS, single_statements, sync_engine
from db.statements import dispatch, leader
from workers.dispatcher import reaper
from workers.dispatcher.beat import Beat
from workers.dispatcher.faults import Faults
from workers.dispatcher.ingest.ingester import Ingester
from workers.dispatcher.sender import Sender, Waiting
from workers.dispatcher.settings import Settings
from workers.dispatcher.wake_up import WakeUp
from workers.storage.client import s3_client

log = logging.getLogger(__name__)

_SETTLE = 1.0
"""A message is not missed before its row is this many seconds old: it may be between commit and Redis."""
_LIVE = 10.0
"""A worker not seen for longer gets no room in the window."""
_BREATH = 0.02
_SPACING = 0.1
"""Wake-ups that come together are answered together: at once where there was none for a while, and no more often than
this while chunks end all the time, of which the window holds more than that."""
_IDLE_WINDOW = 4
"""Messages a model without a live worker: the first to come up finds work at once."""
_HOUSEKEEPING = 3600.0
_TALLIED = 1000
"""Ended chunks a tick, two ticks a second: more than any fleet of GPUs ends."""


class Dispatcher:
    """One process's loop. `stop` is set by SIGTERM or a test."""

    def __init__(self, settings: Settings, stop: threading.Event) -> None:
        self._settings = settings
        self._stop = stop
        self._holder = f"{socket.gethostname()}-{os.getpid()}"
        self._engine: Engine = sync_engine(settings.database_url, pool_size=4)
        self._single = single_statements(self._engine)
        self._sender = Sender(settings.redis_url)
        self._seen: Waiting | None = None
        self._leading = False
        self._ingester = Ingester(self._engine, s3_client(settings), settings, lambda: self._leading)
        self._faults = Faults()
        self._beat = Beat(settings.health_dir, settings.stall_seconds)
        self._round = 0.0
        self._filled = 0.0
        self._tidied = 0.0

    def run(self) -> None:
        """Lead or stand by until `stop`; the database may come and go."""
        self._sender.start()
        self._ingester.start()
        self._beat.start()
        wake_up = WakeUp(self._settings.database_url)
        while not self._stop.is_set():
            try:
                with self._faults.step("a round"):
                    self._tick()
            except DATABASE_ERRORS as error:
                log.warning("the database failed, trying again: %s", error)
                self._leading = False
                self._stop.wait(0.5)
            self._beat.touch()
            with self._faults.step("waiting for a notification"):
                wake_up.wait(self._settings.tick_seconds, self._stop)
            self._stop.wait(max(_BREATH, self._filled + _SPACING - time.monotonic()))
        self._sender.stop()
        self._ingester.stop()
        wake_up.close()
        self._resign()
        self._beat.stop()

    def _tick(self) -> None:
        """One round as leader, or one try to become it. Woken between two rounds, it only fills the window."""
        now = time.monotonic()
        if now - self._round < self._settings.tick_seconds:
            if self._leading:
                self._step("filling the windows", self._fill_windows)
            return
        self._round = now
        if not self._lead():
            return
        self._step("taking back leases", lambda: reaper.reap_leases(self._engine, self._faults))
        self._step("stopping jobs", lambda: reaper.stop_jobs(self._engine, self._faults))
        self._step("finishing jobs", lambda: reaper.finish_jobs(self._engine, self._faults))
        self._step("asking for listings", self._ingester.ask)
        self._step("filling the windows", self._fill_windows)
        self._step("announcing again", self._announce_again)
        self._step("tallying", self._tally)
        self._step("stopping jobs that fail", lambda: reaper.stop_exhausted(self._engine, self._faults))
        self._step("housekeeping", self._tidy)

    def _step(self, name: str, do: Callable[[], object]) -> None:
        """An error in one step leaves the others to be done, unless the database is away."""
        with self._faults.step(name):
            do()
        self._beat.touch()

    def _lead(self) -> bool:
        lead = leader.lead(self._holder, lease_seconds=self._settings.leader_seconds)
        with self._single.connect() as connection:
            leading = connection.execute(*lead).one_or_none() is not None
        if leading != self._leading:
            log.info("%s %s", self._holder, "leads" if leading else "stands by")
        self._leading = leading
        return leading

    def _fill_windows(self) -> None:
        self._filled = time.monotonic()
        with self._single.connect() as connection:
            windows = connection.execute(*dispatch.windows(alive_seconds=_LIVE)).all()
        self._sender.watch(frozenset(window.model for window in windows) | frozenset(self._settings.models))
        self._sender.watch(frozenset(window.model for window in windows))
