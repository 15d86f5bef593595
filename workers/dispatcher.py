"""`python -m workers.dispatcher`: keeps workers fed and repairs what died. Run two: one leads, one stands by.

Each tick the leader takes back expired leases, stops and finishes jobs, lists prefixes, fills the window of messages
in Redis and rings again what got lost. Everything it does is a guarded statement, so a second leader does no harm.
"""

import logging
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Sequence
from typing import Any

import psycopg
from sqlalchemy import Engine
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError

from db.engine import sync_engine
from db.partitions import ensure_partitions
from db.statements import dispatch
from db.states import WAKE_CHANNEL
from workers import crash_points, ingest, reaper
from workers.broker import build_app
from workers.ringer import Ring, Ringer
from workers.settings import Settings
from workers.storage import s3_client

log = logging.getLogger(__name__)

_SETTLE = 1.0
"""A message is not missed before its row is this many seconds old: it may be between commit and Redis."""
_LIVE = 10.0
"""A worker not seen for longer gets no room in the window."""
_IDLE_WINDOW = 4
"""Messages a model without a live worker: the first to come up finds work at once."""
_HOUSEKEEPING = 3600.0


class Dispatcher:
    """One process's loop. `stop` is set by SIGTERM or a test."""

    def __init__(self, settings: Settings, stop: threading.Event) -> None:
        self._settings = settings
        self._stop = stop
        self._holder = f"{socket.gethostname()}-{os.getpid()}"
        self._engine: Engine = sync_engine(settings.database_url, pool_size=2)
        self._s3 = s3_client(settings)
        self._ringer = Ringer(build_app(settings), settings.redis_url)
        self._run_id: str | None = None
        self._leading = False
        self._tidied = 0.0

    def run(self) -> None:
        """Lead or stand by until `stop`; the database may come and go."""
        self._ringer.start()
        bell = _WakeUp(self._settings.database_url)
        while not self._stop.is_set():
            try:
                more = self._tick()
            except DBAPIError as error:
                log.warning("the database failed, trying again: %s", error)
                self._leading, more = False, False
                self._stop.wait(0.5)
            if not more:
                bell.wait(self._settings.tick_seconds, self._stop)
        self._resign()

    def _tick(self) -> bool:
        """One round as leader, or one try to become it. True: come back at once."""
        if not self._lead():
            return False
        reaper.reap_leases(self._engine)
        reaper.stop_jobs(self._engine)
        reaper.finish_jobs(self._engine)
        more = ingest.ingest_step(self._engine, self._s3, self._settings)
        self._fill_windows()
        self._ring_again()
        self._tidy()
        return more

    def _lead(self) -> bool:
        parameters = {"holder": self._holder, "lease": self._settings.leader_seconds}
        with self._engine.begin() as connection:
            leading = connection.execute(dispatch.LEAD, parameters).one_or_none() is not None
        if leading != self._leading:
            log.info("%s %s", self._holder, "leads" if leading else "stands by")
        self._leading = leading
        return leading

    def _fill_windows(self) -> None:
        with self._engine.connect() as connection:
            windows = connection.execute(dispatch.WINDOWS, {"alive": _LIVE}).all()
        self._ringer.watch(frozenset(window.model for window in windows) | frozenset(self._settings.models))
        for window in windows:
            wanted = int(window.slots * self._settings.window_per_slot) or _IDLE_WINDOW
            if wanted > window.dispatched:
                self._fill(window.model, wanted - window.dispatched)

    def _fill(self, model: str, room: int) -> None:
        with self._engine.begin() as connection:
            rows = connection.execute(dispatch.FILL_WINDOW, {"model": model, "room": room}).all()
        if rows:
            crash_points.reach("marked")
        self._ringer.ring([Ring(model, row.job_id, row.chunk_no) for row in rows])  # committed first, then rung

    def _ring_again(self) -> None:
        """Send again what Redis has lost: all of it after a restart, else when it holds too few, else by age."""
        bell = self._ringer.bell
        if bell is None or not self._ringer.idle():
            return
        restarted = self._run_id is not None and bell.run_id != self._run_id
        self._run_id = bell.run_id
        age = 3 * self._settings.lease_seconds
        if restarted or self._too_few(bell.messages):
            age = _SETTLE
        with self._engine.begin() as connection:
            rows = connection.execute(dispatch.RING_AGAIN, {"age": age}).all()
        if rows:
            log.info("ringing %d chunks again", len(rows))
        self._ringer.ring([Ring(row.model, row.job_id, row.chunk_no) for row in rows])

    def _too_few(self, messages: int) -> bool:
        with self._engine.connect() as connection:
            expected: int = connection.execute(dispatch.EXPECTED_MESSAGES, {"age": _SETTLE}).scalar_one()
        return messages < expected

    def _tidy(self) -> None:
        if time.monotonic() - self._tidied < _HOUSEKEEPING and self._tidied:
            return
        self._tidied = time.monotonic()
        with self._engine.begin() as connection:
            ensure_partitions(connection)
            connection.execute(dispatch.FORGET_WORKERS)

    def _resign(self) -> None:
        try:
            with self._engine.begin() as connection:
                connection.execute(dispatch.RESIGN, {"holder": self._holder})
        except DBAPIError as error:
            log.warning("could not resign, the lease runs out instead: %s", error)


class _WakeUp:
    """Waits for NOTIFY on a connection of its own; without one, for the time to pass."""

    def __init__(self, database_url: str) -> None:
        url = make_url(database_url).set(drivername="postgresql")
        self._conninfo = url.render_as_string(hide_password=False)
        self._connection: psycopg.Connection[Any] | None = None

    def wait(self, seconds: float, stop: threading.Event) -> None:
        try:
            self._listen()
            if self._connection is not None:
                for _ in self._connection.notifies(timeout=seconds, stop_after=1):
                    pass
        except psycopg.Error as error:
            log.warning("not listening to the database: %s", error)
            if self._connection is not None:
                self._connection.close()
            self._connection = None
            stop.wait(seconds)

    def _listen(self) -> None:
        if self._connection is None:
            self._connection = psycopg.connect(self._conninfo, autocommit=True, connect_timeout=5)
            self._connection.execute(f"LISTEN {WAKE_CHANNEL}")


def main(_arguments: Sequence[str] = ()) -> int:
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    stop = threading.Event()
    for sign in (signal.SIGTERM, signal.SIGINT):
        signal.signal(sign, lambda *_: stop.set())
    settings = Settings()
    crash_points.arm(settings.crash_at)
    Dispatcher(settings, stop).run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
