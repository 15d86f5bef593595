"""The dispatcher's loop. Of several dispatchers one leads.

Each tick the leader takes back expired leases, stops and finishes jobs, lists prefixes, fills the window of messages
in Redis and announces again what got lost. Everything it does is a guarded statement, so a second leader does no harm.
"""

import logging
import os
import socket
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import Engine

from db.engine import DATABASE_ERRORS, single_statements, sync_engine
from db.partitions import ensure_partitions
from db.statements import dispatch, leader, register, tally
from workers.dispatcher import reaper
from workers.dispatcher.beat import Beat
from workers.dispatcher.faults import Faults
from workers.dispatcher.ingest.ingester import Ingester
from workers.dispatcher.sender import Message, Sender, Waiting, urgency
from workers.dispatcher.settings import Settings
from workers.dispatcher.wake_up import WakeUp
from workers.storage.client import s3_client
from workers.testing import crash_points

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
        self._sender.watch(frozenset(window.model for window in windows))
        for window in windows:
            wanted = int(window.slots * self._settings.window_per_slot) or _IDLE_WINDOW
            if wanted > window.dispatched:
                self._fill(window.model, wanted - window.dispatched, -(-wanted // 2))

    def _fill(self, model: str, room: int, each: int) -> None:
        """Half the window is the most for one job: whoever comes next finds room at once."""
        rows: Sequence[Any] | None = None
        with self._faults.step("filling a window at once"), self._single.connect() as connection:
            rows = connection.execute(*dispatch.fill_window(model, room=room, job_room=each)).all()
        if rows is None:
            rows = self._fill_by_job(model, room, each)
        messages = [message for row in rows for message in self._messages_of(model, row)]
        if messages:
            crash_points.reach("marked")
        self._sender.send(messages)  # committed first, then sent

    def _fill_by_job(self, model: str, room: int, each: int) -> list[Any]:
        """One row can fail the statement that serves every job of a model. The oldest first, and nobody weighed."""
        with self._single.connect() as connection:
            jobs = connection.execute(*dispatch.open_jobs(model)).scalars().all()
        rows: list[Any] = []
        for job_id in jobs:
            if len(rows) < room and self._faults.may_try(job_id):
                with self._faults.job("filling the window", job_id), self._single.connect() as connection:
                    rows += connection.execute(*dispatch.fill_job(job_id, room=min(each, room))).all()
        return rows

    def _messages_of(self, model: str, row: Any) -> list[Message]:
        with self._faults.job("filling the window", row.job_id):
            crash_points.reach("filling", row.job_id)
            return [Message(model, row.job_id, row.chunk_no, urgency(row.share))]
        return []  # it stays `dispatched`, is not found in Redis, and is announced again

    def _announce_again(self) -> None:
        """Send again what Redis has lost: chunks marked well before it was asked, and not in its lists then."""
        waiting = self._sender.waiting
        if waiting is None or waiting is self._seen:
            return
        self._seen = waiting
        with self._single.connect() as connection:
            age = time.monotonic() - waiting.asked + _SETTLE
            rows = connection.execute(*dispatch.announced_chunks(age_seconds=age)).all()
        lost: dict[UUID, list[Any]] = {}
        for row in rows:
            if (row.job_id, row.chunk_no) not in waiting.chunks:
                lost.setdefault(row.job_id, []).append(row)
        for job_id, chunks in lost.items():
            if self._faults.may_try(job_id):
                with self._faults.job("announcing again", job_id):
                    self._send_lost(job_id, chunks)

    def _send_lost(self, job_id: UUID, lost: list[Any]) -> None:
        crash_points.reach("announcing", job_id)
        with self._single.connect() as connection:
            rows = connection.execute(*dispatch.announce_again(job_id, [row.chunk_no for row in lost])).all()
        log.info("announcing %d chunks of job %s again", len(rows), job_id)
        self._sender.send(Message(lost[0].model, job_id, row.chunk_no) for row in rows)

    def _tally(self) -> None:
        with self._faults.step("tallying at once"), self._single.connect() as connection:
            connection.execute(*tally.add_tallies(most=_TALLIED))
            return
        self._tally_by_job()  # one row can fail the statement that serves every job

    def _tally_by_job(self) -> None:
        with self._single.connect() as connection:
            jobs = connection.execute(*tally.untallied_jobs()).scalars().all()
        for job_id in jobs:
            if self._faults.may_try(job_id):
                with self._faults.job("tallying", job_id), self._single.connect() as connection:
                    crash_points.reach("tallying", job_id)
                    connection.execute(*tally.add_tallies_of(job_id, most=_TALLIED))

    def _tidy(self) -> None:
        if time.monotonic() - self._tidied < _HOUSEKEEPING and self._tidied:
            return
        self._tidied = time.monotonic()
        with self._engine.begin() as connection:
            ensure_partitions(connection)
            connection.execute(*register.forget_workers())

    def _resign(self) -> None:
        try:
            with self._engine.begin() as connection:
                connection.execute(*leader.resign(self._holder))
        except DATABASE_ERRORS as error:
            log.warning("could not resign, the lease runs out instead: %s", error)
        self._engine.dispose()
