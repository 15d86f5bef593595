"""Wakes the leader when Postgres notifies it: a submit, an ended chunk, a chunk given back."""

import logging
import threading
from typing import Any

import psycopg

from db.engine import listener
from db.statements.leader import WAKE_CHANNEL

log = logging.getLogger(__name__)


class WakeUp:
    """Waits for a notification on a connection of its own. Without a connection it waits for the time to pass."""

    def __init__(self, database_url: str) -> None:
        self._database_url = database_url
        self._connection: psycopg.Connection[Any] | None = None

    def wait(self, seconds: float, stop: threading.Event) -> None:
        try:
            self._listen()
            if self._connection is not None:
                for _ in self._connection.notifies(timeout=seconds, stop_after=1):
                    pass
            else:
                stop.wait(seconds)
        except psycopg.Error as error:
            log.warning("not listening to the database: %s", error)
            self.close()
            stop.wait(seconds)

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
        self._connection = None

    def _listen(self) -> None:
        if self._connection is None:
            self._connection = listener(self._database_url)
            if self._connection is not None:
                self._connection.execute(f"LISTEN {WAKE_CHANNEL}")
