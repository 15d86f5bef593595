"""Find a result that an earlier item has, so that it need not be computed again."""

import logging
import threading

from sqlalchemy import Engine

from db.engine import DATABASE_ERRORS
from db.statements import reuse
from workers.pipeline.ticket import Earlier

log = logging.getLogger(__name__)


class EarlierResults:
    """What the fetch threads of a process ask. They take turns, so that they need one connection together."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._turn = threading.Lock()

    def find(self, tenant: str, fingerprint: bytes) -> Earlier | None:
        """The newest result of this tenant with this fingerprint. None also where the database fails."""
        try:
            with self._turn, self._engine.connect() as connection:
                row = connection.execute(*reuse.earlier(tenant, fingerprint)).first()
        except DATABASE_ERRORS as error:
            log.warning("an earlier result cannot be looked up, so the item is computed: %s", error)
            return None
        return None if row is None else Earlier(row.job_id, row.result_index)
