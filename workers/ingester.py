"""Lists prefixes in a thread of its own, so that a slow S3 holds up neither the leader's lease nor anybody's chunks."""

import logging
import threading
from collections.abc import Callable
from typing import Any

from sqlalchemy import Engine

from db.engine import DATABASE_ERRORS
from workers.ingest import ingest_step
from workers.settings import Settings

log = logging.getLogger(__name__)


class Ingester:
    """Works while this process leads. A late page of a former leader fails its guard: the cursor has moved on."""

    def __init__(self, engine: Engine, s3: Any, settings: Settings, leads: Callable[[], bool]) -> None:
        self._engine = engine
        self._s3 = s3
        self._settings = settings
        self._leads = leads
        self._asked = threading.Event()
        self._thread = threading.Thread(target=self._loop, name="ingest", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def ask(self) -> None:
        """There may be something to list."""
        self._asked.set()

    def _loop(self) -> None:
        while True:
            self._asked.wait()
            self._asked.clear()
            try:
                while self._leads() and ingest_step(self._engine, self._s3, self._settings):
                    pass
            except DATABASE_ERRORS as error:
                log.warning("the database failed while a prefix was listed, trying again: %s", error)
